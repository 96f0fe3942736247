#!/usr/bin/perl
# setup-etc.pl ETC: makes /etc what ETC/etc says. /etc/static links there; every file is a link into /etc/static, or a copy
# with the mode and owner that ETC/copies names. Links and copies of the system before, that are no more, go.
use strict;
use warnings;

my $package = shift @ARGV or die "usage: setup-etc.pl ETC\n";
my $static = "/etc/static";
my $status = 0;

sub atomic_link {
    my ($target, $path) = @_;
    my $tmp = "$path.tmp";
    unlink $tmp;
    symlink $target, $tmp or return 0;
    return rename $tmp, $path;
}

sub lines_of {
    my ($file) = @_;
    open my $in, '<', $file or return ();
    chomp(my @lines = <$in>);
    return @lines;
}

my %copy;    # path below /etc -> [mode, uid, gid]
for (lines_of("$package/copies")) {
    my ($mode, $user, $group, $path) = split / /, $_, 4;
    my $uid = $user =~ /^\+(\d+)$/ ? $1 : scalar getpwnam $user;
    my $gid = $group =~ /^\+(\d+)$/ ? $1 : scalar getgrnam $group;
    $copy{$path} = [oct $mode, $uid // 0, $gid // 0];
}

atomic_link("$package/etc", $static) or die "link $static: $!\n";

sub clean_up {    # DIR: removes links into /etc/static that lead nowhere
    my ($dir) = @_;
    opendir my $handle, $dir or return;
    for my $name (readdir $handle) {
        next if $name eq '.' || $name eq '..';
        my $path = "$dir/$name";
        if (-l $path) {
            my $target = readlink $path;
            next unless index($target, "$static/") == 0;
            next if -l $target || -e $target;
            print STDERR "removing obsolete symlink '$path'...\n";
            unlink $path;
        } elsif (-d $path && $path ne "/etc/ssl") {
            clean_up($path);
        }
    }
}
clean_up("/etc");

my %old = map { $_ => 1 } lines_of("/etc/.clean");
my @copied;

sub install_file {    # PATH below /etc
    my ($path) = @_;
    my $target = "/etc/$path";
    if (-d $target && !-l $target) {
        print STDERR "warning: $target is a folder and stays\n";
        $status = 1;
        return;
    }
    my $spec = $copy{$path};
    if (!$spec) {
        return if -l $target && readlink($target) eq "$static/$path";
        atomic_link("$static/$path", $target) or do { print STDERR "link $target: $!\n"; $status = 1 };
        return;
    }
    my ($mode, $uid, $gid) = @$spec;
    my $tmp = "$target.tmp";
    open my $in, '<', "$static/$path" or do { print STDERR "read $path: $!\n"; $status = 1; return };
    unlink $tmp;
    open my $out, '>', $tmp or do { print STDERR "write $tmp: $!\n"; $status = 1; return };
    local $/;
    print $out (<$in> // '');
    close $out or do { print STDERR "write $tmp: $!\n"; $status = 1; return };
    chown $uid, $gid, $tmp;
    chmod $mode, $tmp;
    rename $tmp, $target or do { print STDERR "rename $tmp: $!\n"; $status = 1; return };
    push @copied, $path;
    delete $old{$path};
}

sub walk {    # DIR in ETC/etc, PREFIX below /etc
    my ($dir, $prefix) = @_;
    opendir my $handle, $dir or return;
    for my $name (sort readdir $handle) {
        next if $name eq '.' || $name eq '..';
        if (-d "$dir/$name" && !-l "$dir/$name") {
            mkdir "/etc/$prefix$name";
            walk("$dir/$name", "$prefix$name/");
        } else {
            install_file("$prefix$name");
        }
    }
}
walk("$package/etc", "");

for my $path (keys %old) {
    print STDERR "removing obsolete file '/etc/$path'...\n";
    unlink "/etc/$path";
}
open my $clean, '>', "/etc/.clean" or die "write /etc/.clean: $!\n";
print $clean "$_\n" for sort @copied;
close $clean;
if (open my $tag, '>>', "/etc/NIXOS") { close $tag }
exit $status;
