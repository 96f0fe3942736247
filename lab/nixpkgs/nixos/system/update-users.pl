#!/usr/bin/perl
# update-users.pl FILE: brings the accounts of FILE into /etc/passwd, /etc/group and /etc/shadow. Other accounts stay; those
# that an earlier run brought and FILE has no more go. A number once given to a name stays that name's (/var/lib/nixos).
use strict;
use warnings;

my $file = shift @ARGV or die "usage: update-users.pl FILE\n";
my $state = "/var/lib/nixos";
mkdir $state;

sub lines_of {
    my ($path) = @_;
    open my $in, '<', $path or return ();
    chomp(my @lines = <$in>);
    return @lines;
}

sub write_file {
    my ($path, $mode, @lines) = @_;
    my $text = join '', map { "$_\n" } @lines;
    return if join('', map { "$_\n" } lines_of($path)) eq $text && -e $path;
    open my $out, '>', "$path.tmp" or die "write $path: $!\n";
    print $out $text;
    close $out or die "write $path: $!\n";
    chmod $mode, "$path.tmp";
    rename "$path.tmp", $path or die "rename $path: $!\n";
}

# Accounts by name, in the order of their file.
sub table { map { [split /:/, $_, -1] } grep { /:/ } lines_of($_[0]) }
my @passwd = table("/etc/passwd");
my @group  = table("/etc/group");
my %shadow = map { $_->[0] => $_ } table("/etc/shadow");
my %user_of  = map { $_->[0] => $_ } @passwd;
my %group_of = map { $_->[0] => $_ } @group;

my (@want_users, @want_groups);
for (lines_of($file)) {
    my ($kind, @fields) = split /\t/, $_, -1;
    push @{ $kind eq 'user' ? \@want_users : \@want_groups }, \@fields;
}

my %given = map { my ($kind, $name, $id) = split / /; ("$kind $name" => $id) } lines_of("$state/id-map");
my %used = map { ($_ => 1) } (map { "user $_->[2]" } @passwd), (map { "group $_->[2]" } @group),
    map { (split(/ /, $_))[0] . " $given{$_}" } keys %given;

# The number of an account: what it has, what it had, what is declared, or a free one.
sub number {
    my ($kind, $name, $declared, $existing, $system) = @_;
    if (defined $existing) {
        my ($what, $table) = $kind eq 'user' ? ('UID', 'passwd') : ('GID', 'group');
        print STDERR "warning: not applying $what change of $kind '$name' ($existing -> $declared) in /etc/$table\n"
            if $declared ne '' && $declared != $existing;
        return $existing;
    }
    return $declared if $declared ne '';
    return $given{"$kind $name"} if defined $given{"$kind $name"};
    my @range = $system ? reverse(400 .. 999) : (1000 .. 29999);
    for my $id (@range) {
        next if $used{"$kind $id"} || ($kind eq 'user' ? defined getpwuid $id : defined getgrgid $id);
        return $id;
    }
    die "no free number for $kind $name\n";
}

for my $want (@want_groups) {
    my ($name, $gid, $members) = @$want;
    my $existing = $group_of{$name};
    my $id = number('group', $name, $gid, $existing ? $existing->[2] : undef, 1);
    $used{"group $id"} = 1;
    $given{"group $name"} = $id;
    if (!$existing) {
        push @group, $existing = $group_of{$name} = [$name, 'x', $id, ''];
    }
    $existing->[3] = $members;
}
for my $want (@want_users) {
    my ($name, $uid, $group, $gecos, $home, $mode, $create, $shell, $hash, $hash_file, $system) = @$want;
    my $existing = $user_of{$name};
    my $id = number('user', $name, $uid, $existing ? $existing->[2] : undef, $system);
    my $gid = $group_of{$group} ? $group_of{$group}[2] : 65534;
    $used{"user $id"} = 1;
    $given{"user $name"} = $id;
    if (!$existing) {
        push @passwd, $existing = $user_of{$name} = [];
    }
    @$existing = ($name, 'x', $id, $gid, $gecos, $home, $shell);
    ($hash) = lines_of($hash_file) if $hash_file ne '';
    $shadow{$name} //= [$name, $hash || '!', 1, '', '', '', '', '', ''];
    if ($create && !-e $home) {
        system('mkdir', '-p', $home) == 0 or die "make $home\n";
        chown $id, $gid, $home;
        chmod oct $mode, $home;
    }
}

my %declared = map { ("user $_->[0]" => 1) } @want_users;
$declared{"group $_->[0]"} = 1 for @want_groups;
my %gone = map { ($_ => 1) } grep { !$declared{$_} } lines_of("$state/declared");
for (sort keys %gone) { print STDERR "removing $_\n" }
@passwd = grep { !$gone{"user $_->[0]"} } @passwd;
@group  = grep { !$gone{"group $_->[0]"} } @group;

write_file("/etc/group", 0644, map { join ':', @$_ } @group);
write_file("/etc/passwd", 0644, map { join ':', @$_ } @passwd);
write_file("/etc/shadow", 0640, map { join ':', @{ $shadow{ $_->[0] } // [$_->[0], '!', 1, '', '', '', '', '', ''] } } @passwd);
chown 0, scalar(getgrnam('shadow')) // 0, "/etc/shadow";
write_file("$state/id-map", 0644, map { "$_ $given{$_}" } sort keys %given);
write_file("$state/declared", 0644, sort keys %declared);
