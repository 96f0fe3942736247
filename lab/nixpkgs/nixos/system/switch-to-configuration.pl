#!/usr/bin/perl
# switch-to-configuration of the stand-in: makes TOPLEVEL the running system. Written for the nixmesh lab after the observed
# contract of the real program: actions, lock, exit codes, words and the treatment of units.
#
#   0 done   1 usage, check or loader   2 activation failed   4 a unit failed   11 locked   100 needs a reboot
use strict;
use warnings;
use Fcntl qw(:flock);
use Cwd qw(abs_path);

$| = 1;
my $out = $ENV{TOPLEVEL} // die "TOPLEVEL is not set\n";
my $action = shift @ARGV // '';
my $units_now = "/etc/systemd/system";
my $units_new = "$out/etc/systemd/system";
my $run = "/run/nixos";

sub say_err { print STDERR @_, "\n" }
sub quit { say_err($_[1]); exit $_[0] }

my %purpose = (
    check          => "run the pre-switch checks",
    switch         => "make the configuration the boot default and activate it now",
    boot           => "make the configuration the boot default",
    test           => "activate the configuration, but do not make it the boot default",
    'dry-activate' => "show what would be done",
);
if (!$purpose{$action}) {
    say_err("Usage: $0 [", join('|', sort keys %purpose), "]\n");
    say_err(sprintf "%-13s %s", "$_:", $purpose{$_}) for sort keys %purpose;
    exit 1;
}
my $dry = $action eq 'dry-activate';
$ENV{NIXOS_ACTION} = $action;
quit(1, "switch-to-configuration must be run as root") if $> != 0;
quit(1, "This is not a NixOS installation!") unless -e "/etc/NIXOS" || grep { /^ID="?nixos/ } read_lines("/etc/os-release");

mkdir $run, 0755;
open my $lock, '>>', "$run/switch-to-configuration.lock" or quit(1, "Could not open lock: $!");
if (!flock $lock, LOCK_EX | LOCK_NB) {
    quit(11, "Could not acquire lock");
}

if (($ENV{NIXOS_NO_CHECK} // '') ne '1') {
    system($ENV{PRE_SWITCH_CHECK}, $out, $action) == 0 or quit(1, "Pre-switch checks failed");
}
exit 0 if $action eq 'check';

if ($action eq 'switch' || $action eq 'boot') {
    system("$ENV{INSTALL_BOOTLOADER} $out") == 0 or quit(1, "Failed to install bootloader");
}
if (($ENV{NIXOS_NO_SYNC} // '') ne '1') {
    system('sync', '-f', '/nix/store');
}
exit 0 if $action eq 'boot';

my ($interface_now) = read_lines("/run/current-system/init-interface-version");
my ($interface_new) = read_lines("$out/init-interface-version");
if (($interface_now // '') ne ($interface_new // '')) {
    quit(100, "Warning: the new NixOS configuration has an 'init' that is\nincompatible with the current configuration.  The new configuration\nwon't take effect until you reboot the system.");
}

# --- What to do with which unit. Lists that an interrupted run left are continued.
my %list = map { ($_ => { map { ($_ => 1) } read_lines("$run/$_-list") }) } qw(start restart reload);
my (%stop, %skip, %quiet);

sub record {    # remembers a unit over an interruption
    my ($kind, $unit) = @_;
    $list{$kind}{$unit} = 1;
    write_list($kind) unless $dry;
}

my %before = active_units();
for my $unit (sort keys %before) {
    next unless $before{$unit}[0] =~ /^(active|activating|reloading)$/;
    my $now = unit_file($units_now, $unit);
    my $new = unit_file($units_new, $unit);
    next unless defined $now;
    if (!defined $new || (abs_path($new) // '') eq '/dev/null') {
        my $old = parse_unit($units_now, $unit);
        $stop{$unit} = 1 if flag($old, 'Unit', 'X-StopOnRemoval', 1);
        next;
    }
    my $after = parse_unit($units_new, $unit);
    if ($unit =~ /\.target$/) {
        # Active targets are started again, so that what they want anew starts.
        next if $unit =~ /^(suspend|hibernate|hybrid-sleep|suspend-then-hibernate)\.target$/;
        if (!flag($after, 'Unit', 'RefuseManualStart', 0) && !flag($after, 'Unit', 'X-OnlyManualStart', 0)) {
            $list{start}{$unit} = 1;
            $quiet{$unit} = 1;
        }
        $stop{$unit} = 1 if flag($after, 'Unit', 'X-StopOnReconfiguration', 0);
        next;
    }
    my $difference = compare_units(parse_unit($units_now, $unit), $after);
    if ($difference eq 'reload') {
        record('reload', $unit);
    } elsif ($difference eq 'restart') {
        changed_unit($unit, $after);
    }
}
write_list('start') unless $dry;

sub changed_unit {
    my ($unit, $info) = @_;
    return if $unit =~ /\.(path|slice|socket)$/;
    if ($unit =~ /\.mount$/) {
        record($unit eq '-.mount' || $unit eq 'nix.mount' ? 'reload' : 'restart', $unit);
    } elsif (flag($info, 'Service', 'X-ReloadIfChanged', 0)) {
        record('reload', $unit);
    } elsif (!flag($info, 'Service', 'X-RestartIfChanged', 1)
        || flag($info, 'Unit', 'RefuseManualStop', 0)
        || flag($info, 'Unit', 'X-OnlyManualStart', 0))
    {
        $skip{$unit} = 1;
    } elsif (!flag($info, 'Service', 'X-StopIfChanged', 1)) {
        record('restart', $unit);
    } else {
        my $by_socket = 0;
        (my $base = $unit) =~ s/\.service$//;
        my @sockets = map { split ' ' } @{ $info->{Service}{Sockets} // ["$base.socket"] };
        for my $socket (@sockets) {
            next unless $before{$socket} && $before{$socket}[0] eq 'active';
            $stop{$socket} = 1;
            next unless defined unit_file($units_new, $socket);
            record('start', $socket);
            $by_socket = 1 unless flag($info, 'Service', 'X-NotSocketActivated', 0);
        }
        record('start', $unit) unless $by_socket;
        $stop{$unit} = 1;
    }
}

my $reexec = join("\n", read_lines("/etc/systemd/system.conf")) ne join("\n", read_lines("$out/etc/systemd/system.conf"))
    || (abs_path("/proc/1/exe") // '') ne (abs_path("$out/systemd/lib/systemd/systemd") // '');
delete $list{reload}{$_} for grep { $list{restart}{$_} || $stop{$_} } keys %{ $list{reload} };

sub names { join ', ', sort grep { !$quiet{$_} } keys %{ $_[0] } }
sub announce { my ($words, $set) = @_; my $n = names($set); say_err("$words: $n") if $n ne '' }

if ($dry) {
    announce("would stop the following units", \%stop);
    announce("would NOT stop the following changed units", \%skip);
    say_err("would activate the configuration...");
    system("$out/dry-activate", $out);
    read_activation_lists("dry-activation");
    say_err("would restart systemd") if $reexec;
    announce("would reload the following units", $list{reload});
    announce("would restart the following units", $list{restart});
    announce("would start the following units", $list{start});
    exit 0;
}

# --- Now for real. From here on nothing ends the run early.
my $status = 0;
$SIG{PIPE} = 'IGNORE';
$SIG{HUP} = 'IGNORE';
announce("stopping the following units", \%stop);
systemctl('stop', sort keys %stop) if %stop;
announce("NOT restarting the following changed units", \%skip);

say_err("activating the configuration...");
if (system("$out/activate", $out) != 0) {
    say_err("Failed to run activate script");
    $status = 2;
}
read_activation_lists("activation");

if ($reexec) {
    say_err("restarting systemd...");
    systemctl('daemon-reexec');
}
systemctl('reset-failed');
systemctl('daemon-reload') or $status = 3;
systemctl('restart', 'sysinit-reactivation.target') or $status = 4;

for my $unit (keys %{ $list{reload} }) {
    # What is not running cannot be reloaded.
    if (!is_active($unit)) {
        delete $list{reload}{$unit};
        record('start', $unit);
    }
}
for my $step (['reload', 'reloading'], ['restart', 'restarting'], ['start', 'starting']) {
    my ($kind, $words) = @$step;
    if (%{ $list{$kind} }) {
        announce("$words the following units", $list{$kind});
        systemctl($kind, sort keys %{ $list{$kind} }) or $status = 4;
    }
    unlink "$run/$kind-list";
}
settle();

my (@failed, @new);
my %after = active_units();
for my $unit (sort keys %after) {
    my ($state, $sub) = @{ $after{$unit} };
    if ($state eq 'failed' || ($sub eq 'auto-restart' && show($unit, 'ExecMainStatus') ne '0')) {
        push @failed, $unit;
    } elsif ($state eq 'active' && $unit !~ /\.(device|scope)$/ && ($before{$unit}[0] // '') !~ /^(active|activating)$/ && !$list{start}{$unit} && !$list{restart}{$unit}) {
        push @new, $unit;
    }
}
say_err("the following new units were started: ", join ', ', @new) if @new;
if (@failed) {
    say_err("warning: the following units failed: ", join ', ', @failed);
    system("systemctl status --no-pager --full " . join(' ', map { quotemeta } @failed) . " 1>&2");
    $status = 4;
}
exit $status;

# --- Units and their files.
sub active_units {    # name -> [active state, sub state], of units that are not inactive
    my %units;
    open my $in, '-|', qw(systemctl list-units --full --plain --no-legend --no-pager) or return;
    while (<$in>) {
        my ($name, undef, $active, $sub) = split ' ';
        $units{$name} = [$active, $sub] if defined $sub;
    }
    close $in;
    return %units;
}

sub is_active { system('systemctl', 'is-active', '--quiet', $_[0]) == 0 }
sub systemctl { system('systemctl', @_) == 0 }

sub show {
    my ($unit, $property) = @_;
    open my $in, '-|', 'systemctl', 'show', '--value', '-p', $property, $unit or return '';
    my $value = <$in> // '';
    chomp $value;
    return $value;
}

# Waits until targets' jobs for this system's units are done and no unit has changed for a while; a unit that dies as soon as
# it has started is seen so. At most 90 s.
sub settle {
    my $seen = '';
    for (1 .. 360) {
        open my $in, '-|', qw(systemctl list-jobs --plain --no-legend --no-pager) or return;
        my @jobs = grep { defined $_ && $_ =~ /\./ && defined unit_file($units_new, $_) } map { (split ' ')[1] } <$in>;
        close $in;
        my %units = active_units();
        my $now = join "\n", map { "$_ @{ $units{$_} }" } sort keys %units;
        return if !@jobs && $now eq $seen;
        $seen = $now;
        select undef, undef, undef, 0.25;
    }
}

sub unit_file {    # the file of a unit, or of its template
    my ($dir, $unit) = @_;
    (my $template = $unit) =~ s/^([^@]+@)[^.]*(\..+)$/$1$2/;
    for my $name ($unit, $template) {
        return "$dir/$name" if -l "$dir/$name" || -e "$dir/$name";
    }
    return -d "$dir/$unit.d" ? "$dir/$unit.d" : undef;
}

sub parse_unit {    # section -> key -> values, drop-ins included
    my ($dir, $unit) = @_;
    my %info;
    my $main = unit_file($dir, $unit);
    (my $template = $unit) =~ s/^([^@]+@)[^.]*(\..+)$/$1$2/;
    my @files = defined $main && !-d $main ? ($main) : ();
    push @files, sort glob("$dir/$_.d/*.conf") for $unit eq $template ? ($unit) : ($unit, $template);
    for my $file (@files) {
        my $section = '';
        my $text = join "\n", read_lines($file);
        $text =~ s/\\\n/ /g;
        for (split /\n/, $text) {
            next if /^\s*([#;].*)?$/;
            if (/^\[(.+)\]\s*$/) {
                $section = $1;
            } elsif (/^\s*([^=]+?)\s*=\s*(.*?)\s*$/) {
                push @{ $info{$section}{$1} }, $2;
            }
        }
    }
    return \%info;
}

sub flag {
    my ($info, $section, $key, $default) = @_;
    my $values = $info->{$section}{$key} or return $default;
    return $values->[-1] =~ /^(1|yes|true|on)$/i ? 1 : 0;
}

sub compare_units {    # 'same', 'reload' or 'restart'
    my ($old, $new) = @_;
    my %ignored = map { ($_ => 1) } qw(Description Documentation OnFailure OnSuccess OnFailureJobMode IgnoreOnIsolate
        StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate CollectMode SourcePath);
    my $result = 'same';
    my %sections = map { ($_ => 1) } keys %$old, keys %$new;
    delete $sections{Install};
    for my $section (keys %sections) {
        my ($a, $b) = ($old->{$section} // {}, $new->{$section} // {});
        my %keys = map { ($_ => 1) } keys %$a, keys %$b;
        for my $key (keys %keys) {
            next if $section eq 'Unit' && $ignored{$key};
            next if join("\0", @{ $a->{$key} // [] }) eq join("\0", @{ $b->{$key} // [] });
            my $mild = ($section eq 'Unit' && $key eq 'X-Reload-Triggers')
                || ($section eq 'Service' && $key eq 'ExecReload')
                || ($section eq 'Mount' && $key eq 'Options');
            return 'restart' unless $mild;
            $result = 'reload';
        }
    }
    return $result;
}

# --- Files.
sub read_lines {
    my ($file) = @_;
    open my $in, '<', $file or return ();
    chomp(my @lines = <$in>);
    return @lines;
}

sub write_list {
    my ($kind) = @_;
    open my $file, '>', "$run/$kind-list" or return;
    print $file "$_\n" for sort keys %{ $list{$kind} };
    close $file;
}

sub read_activation_lists {    # units that activation scripts want restarted or reloaded
    my ($prefix) = @_;
    for my $kind (qw(restart reload)) {
        record($kind, $_) for read_lines("$run/$prefix-$kind-list");
        unlink "$run/$prefix-$kind-list";
    }
}
