package rollback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/hostfacts"
)

var nixVersion = regexp.MustCompile(`\b[0-9]+\.[0-9]+[0-9.a-z_-]*`)

// preflight says what this host is; nothing is changed to learn it.
func (h *helper) preflight(ctx context.Context, _ *call) error {
	var req PreflightRequest
	if err := h.request(&req); err != nil {
		return err
	}
	p := Preflight{Protocol: hostfacts.Protocol, Version: h.Version, BootID: h.bootID,
		Current: h.current(), Booted: h.link(bootedLink), Users: h.users(), FailedUnits: []string{}}
	p.Hostname, _ = os.Hostname()
	if f, err := h.facts(p.Current); err == nil {
		p.Fleet, p.Host = f.Fleet, f.Host
	}
	p.System = h.text(p.Current + "/system")
	p.Profile, p.ProfileGeneration = h.profile()
	p.LoaderKind, p.LoaderDefault = h.loaderDefault()
	if out, err := h.runTool(ctx, nil, "nix-store", "--version"); err == nil {
		p.NixVersion = nixVersion.FindString(out)
	}
	p.StoreFree, _, _ = h.Files.Free("/nix/store")
	if d := h.loaderFolder(); d != "" {
		p.BootFree, p.BootSize, _ = h.Files.Free(d)
	}
	p.SwitchLock = h.switchLockHolder()
	if err := h.withSystemd(ctx, func(s Systemd) error {
		units, err := s.List(ctx)
		for _, u := range units {
			if u.failed() {
				p.FailedUnits = append(p.FailedUnits, u.Name)
			}
		}
		return err
	}); err != nil {
		return fmt.Errorf("preflight: %w", err)
	}
	var err error
	if p.Journal, err = h.view(); err != nil {
		return err
	}
	if p.Lease, err = h.leaseNow(); err != nil {
		return err
	}
	return h.answer(p)
}

func (h *helper) leaseNow() (*Lease, error) {
	unlock, err := h.journals.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return h.readLease(leaseRun)
}

// users is name to uid of all users of the host's own file.
func (h *helper) users() map[string]int {
	users := map[string]int{}
	for _, line := range splitLines(h.text("/etc/passwd")) {
		f := strings.Split(line, ":")
		if len(f) < 3 {
			continue
		}
		if uid, err := strconv.Atoi(f[2]); err == nil {
			users[f[0]] = uid
		}
	}
	return users
}

// switchLockHolder is "" when STC's lock is free, else who holds it as far as
// /proc/locks tells.
func (h *helper) switchLockHolder() string {
	if !exists(h.Files, switchLock) {
		return ""
	}
	unlock, err := h.Files.Lock(switchLock, false)
	if err == nil {
		unlock()
		return ""
	}
	if !errors.Is(err, errLocked) {
		return ""
	}
	if pid := lockHolder(switchLock); pid != "" {
		return "pid " + pid + " (" + h.text("/proc/"+pid+"/comm") + ")"
	}
	return "another process"
}
