package deploy

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
)

// firstScript asks a NixOS without nixmesh what preflight asks elsewhere. It
// runs as `sh` on stdin and prints one "name value" a line.
const firstScript = `
PATH=/run/current-system/sw/bin:/run/wrappers/bin:$PATH
say() { printf '%s %s\n' "$1" "$2"; }
[ -e /etc/NIXOS ] && say nixos yes
[ -e /etc/nixmesh/host.json ] && say nixmesh yes
say hostname "$(cat /proc/sys/kernel/hostname)"
say boot_id "$(cat /proc/sys/kernel/random/boot_id)"
say current "$(readlink -f /run/current-system)"
say booted "$(readlink -f /run/booted-system)"
say profile "$(readlink -f /nix/var/nix/profiles/system)"
say generation "$(readlink /nix/var/nix/profiles/system | sed 's/^system-//; s/-link$//')"
say nix "$(nix --version 2>/dev/null || nix-store --version 2>/dev/null)"
say store_free "$(df -Pk /nix/store | awk 'NR == 2 { print $4 }')"
say boot_free "$(df -Pk /boot 2>/dev/null | awk 'NR == 2 { print $4 }')"
say version "$(cat /run/current-system/nixos-version 2>/dev/null)"
say system "$(cat /run/current-system/system 2>/dev/null)"
getent passwd | while IFS=: read -r name _ uid _; do say user "$name $uid"; done
say uid "$(id -u)"
say end end
`

// inspectFirst asks a host that has no nixmesh yet, as the user of first
// contact. must says that the caller named this host for it.
func (d *Deployer) inspectFirst(ctx context.Context, s *Seen, must bool) {
	t, err := d.Target(s.Host)
	if err != nil {
		s.Err = err
		return
	}
	t.User = d.FirstUser
	if t.User == "" {
		t.User = "root"
	}
	s.User = t.User
	l := newLink(t, d.Dial)
	d.replaceLink(s.Host, l)
	line := "sh"
	if t.User != "root" {
		line = "sudo -n sh"
	}
	out, err := l.output(ctx, line, []byte(firstScript))
	if err != nil {
		s.Err = firstError(s.Host, t.User, err)
		return
	}
	facts, nixos, nixmesh := readFirst(out)
	switch {
	case !nixos:
		s.Err = &Error{Exit: ExitRefused, Err: fmt.Errorf("%s: no NixOS answers at %s", s.Host, t.Address),
			Next: "install NixOS there first; nixmesh changes no disks"}
	case nixmesh && must:
		s.Err = &Error{Exit: ExitRefused, Err: fmt.Errorf("%s: it has nixmesh already (/etc/nixmesh/host.json)", s.Host),
			Next: "nixmesh deploy --on " + s.Host}
	case nixmesh:
		s.Err = &Error{Exit: ExitRefused, Err: fmt.Errorf("%s: it has nixmesh, but does not let %s in", s.Host, d.sshUser(s.Host)),
			Next: "nixmesh host list, then compare your operator block's keys"}
	case facts.Hostname != s.Host && !d.FirstAny && facts.Hostname != "nixos":
		d.note(s.Host, "calls itself %s now and will be %s", facts.Hostname, s.Host)
	}
	s.Facts, s.First = facts, true
}

func (d *Deployer) sshUser(host string) string {
	if t, err := d.Target(host); err == nil {
		return t.User
	}
	return "deploy"
}

// firstError keeps an unreachable host unreachable and explains the rest.
func firstError(host, user string, err error) error {
	if lost(err) {
		return err
	}
	return &Error{Exit: ExitRefused, Err: fmt.Errorf("%s: ask as %s: %w", host, user, err),
		Next: fmt.Sprintf("nixmesh deploy --first %s --as USER   (root, or a user with passwordless sudo)", host)}
}

// readFirst reads what firstScript printed.
func readFirst(out []byte) (f *rollback.Preflight, nixos, nixmesh bool) {
	f = &rollback.Preflight{Users: map[string]int{}, Extra: map[string]string{}}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, _ := strconv.ParseInt(value, 10, 64) // 0 where it is none
		switch name {
		case "nixos":
			nixos = true
		case "nixmesh":
			nixmesh = true
		case "hostname":
			f.Hostname = value
		case "boot_id":
			f.BootID = value
		case "current":
			f.Current = value
		case "booted":
			f.Booted = value
		case "profile":
			f.Profile = value
		case "generation":
			f.ProfileGeneration = int(number)
		case "nix":
			f.NixVersion = value
		case "store_free":
			f.StoreFree = number * 1024
		case "boot_free":
			f.BootFree = number * 1024
		case "version":
			f.Extra["nixos-version"] = value
		case "system":
			f.System = value
		case "user":
			user, uid, _ := strings.Cut(value, " ")
			if n, err := strconv.Atoi(uid); err == nil {
				f.Users[user] = n
			}
		}
	}
	return f, nixos, nixmesh
}

// firstCommand starts the helper of a toplevel that the host does not run yet.
func firstCommand(user, toplevel string) string {
	return helperCommand(user, remote.Quote(toplevel+"/sw/bin/nixmesh-host"))
}
