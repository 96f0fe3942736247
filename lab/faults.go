package lab

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Fault is what can break on a host; several at once are possible. The zero
// value breaks nothing.
type Fault struct {
	// Power cuts the power: process 1 gets SIGKILL from outside. It comes
	// back after a second, unless StayOff.
	Power   bool `json:",omitempty"`
	StayOff bool `json:",omitempty"`
	// HangSwitch stops the next N runs of switch-to-configuration that would
	// change the host.
	HangSwitch int `json:",omitempty"`
	// CutSSH drops the port of SSH, established connections too. The rest goes on.
	CutSSH bool `json:",omitempty"`
	// FillStore and FillBoot leave no free block in / and in /boot.
	FillStore bool `json:",omitempty"`
	FillBoot  bool `json:",omitempty"`
	// Slow delays every packet to and from the host by this long, each way.
	Slow time.Duration `json:",omitempty"`
	// Loss drops so many percent of all packets to and from the host.
	Loss int `json:",omitempty"`
	// Clock makes the clock of the host's agent wrong by this much, and
	// restarts the agent, until Heal or a reboot. The host's own stays.
	Clock time.Duration `json:",omitempty"`
}

// clockWord begins what the status says of a moved clock.
const clockWord = "clock "

// check refuses what makes no sense.
func (f Fault) check() error {
	switch {
	case f == Fault{}:
		return errors.New("no fault is named")
	case f.Loss < 0 || f.Loss > 100:
		return fmt.Errorf("loss is %d %%, not within 0 and 100", f.Loss)
	case f.Slow < 0 || f.Slow > 10*time.Second:
		return fmt.Errorf("delay is %s, not within 0 and 10s", f.Slow)
	case f.Clock < -maxClock || f.Clock > maxClock:
		return fmt.Errorf("clock is %+d h, more than twenty years", int(f.Clock.Hours()))
	case f.HangSwitch < 0:
		return fmt.Errorf("hang-switch is %d, less than 0", f.HangSwitch)
	}
	return nil
}

// words are the faults in force, as `lab status` shows them.
func (f Fault) words() []string {
	var w []string
	add := func(on bool, text string) {
		if on {
			w = append(w, text)
		}
	}
	add(f.HangSwitch > 0, "hang-switch")
	add(f.CutSSH, "cut-ssh")
	add(f.FillStore, "fill-store")
	add(f.FillBoot, "fill-boot")
	add(f.Slow > 0, "slow "+f.Slow.String())
	add(f.Loss > 0, fmt.Sprintf("loss %d%%", f.Loss))
	add(f.Clock > 0, clockWord+"+"+f.Clock.String())
	add(f.Clock < 0, clockWord+f.Clock.String())
	return w
}

// cut is a partition: no packet between a host of A and one of B.
type cut struct{ A, B []string }

const fillFile = "fill" // beside the folders of the overlay, and in /boot

// breakHost adds faults to those in force on a host.
func (s *supervisor) breakHost(name string, f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	h, err := s.host(name)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.faults.CutSSH = h.faults.CutSSH || f.CutSSH
	h.faults.FillStore = h.faults.FillStore || f.FillStore
	h.faults.FillBoot = h.faults.FillBoot || f.FillBoot
	if f.Loss > 0 {
		h.faults.Loss = f.Loss
	}
	if f.Clock != 0 {
		h.faults.Clock = f.Clock
	}
	h.mu.Unlock()
	if f.CutSSH || f.Loss > 0 {
		if err := s.filter(); err != nil {
			return err
		}
	}
	if f.FillStore {
		if err := fill(h.path("disk", fillFile)); err != nil {
			return fmt.Errorf("fill the store of %s: %w", name, err)
		}
	}
	if f.FillBoot {
		if err := fill(h.path("boot", fillFile)); err != nil {
			return fmt.Errorf("fill /boot of %s: %w", name, err)
		}
	}
	if f.Slow > 0 {
		if err := h.slowDown(s.Base, f.Slow); err != nil {
			return fmt.Errorf("slow down %s: %w", name, err)
		}
	}
	if f.HangSwitch > 0 {
		h.hangSwitch(s, f.HangSwitch)
	}
	if f.Power {
		return h.cutPower(f.StayOff)
	}
	return nil
}

func (h *host) slowDown(base string, delay time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults.Slow = delay
	return h.slow(base, delay)
}

// cutPower kills the host. The supervisor boots it again after a moment,
// unless it is to stay off.
func (h *host) cutPower(stayOff bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pid == 0 {
		return fmt.Errorf("cut the power of %s: it is %s; nixmesh lab heal boots it", h.Name, h.state)
	}
	h.cut, h.stayOff = true, stayOff
	if err := unix.Kill(h.pid, unix.SIGKILL); err != nil {
		return fmt.Errorf("cut the power of %s: %w", h.Name, err)
	}
	return nil
}

// fill takes every free block of the file system that path lies on, without
// writing any: the machine's own disk does not fill.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	at := st.Size()
	const block = 4096
	for step := int64(256 << 20); step >= block; {
		err := unix.Fallocate(int(f.Fd()), 0, at, step)
		switch {
		case err == nil:
			at += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
	return nil
}

// partition cuts groups of hosts off from each other, until heal.
func (s *supervisor) partition(a, b []string) error {
	for _, name := range slices.Concat(a, b) {
		if _, err := s.host(name); err != nil {
			return err
		}
		if slices.Contains(a, name) && slices.Contains(b, name) {
			return fmt.Errorf("host %s is on both sides of the partition", name)
		}
	}
	s.mu.Lock()
	s.cuts = append(s.cuts, cut{a, b})
	s.mu.Unlock()
	return s.filter()
}

// heal ends every fault and boots what is off.
func (s *supervisor) heal() error {
	s.mu.Lock()
	s.cuts = nil
	hosts := slices.Clone(s.hosts)
	s.mu.Unlock()
	var errs []error
	for _, h := range hosts {
		errs = append(errs, h.heal(s.Base))
		h.switchOn()
	}
	return errors.Join(append(errs, s.filter())...)
}

func (h *host) heal(base string) error {
	h.setHang(0, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = Fault{}
	errs := []error{h.slow(base, 0)}
	for _, path := range []string{h.path("disk", fillFile), h.path("boot", fillFile)} {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			errs = append(errs, fmt.Errorf("free space: %w", err))
		}
	}
	return errors.Join(errs...)
}

// filter makes the bridge drop what the faults in force say, in one
// transaction. It acts outside the hosts: their own firewalls neither see nor
// undo it.
func (s *supervisor) filter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := tool(s.Base, s.rules(), "/usr/sbin/nft", "-f", "-"); err != nil {
		return fmt.Errorf("set packet filter: %w", err)
	}
	return nil
}

// rules renders the packet filter. The caller holds mu.
func (s *supervisor) rules() string {
	address := map[string]string{}
	var b strings.Builder
	b.WriteString("table bridge lab\ndelete table bridge lab\ntable bridge lab {\n\tchain forward {\n\t\ttype filter hook forward priority 0;\n")
	for _, h := range s.hosts {
		address[h.Name] = h.Address.String()
		h.mu.Lock()
		f := h.faults
		h.mu.Unlock()
		if f.CutSSH {
			fmt.Fprintf(&b, "\t\tip daddr %s tcp dport %d drop\n\t\tip saddr %s tcp sport %d drop\n", h.Address, h.sshPort(), h.Address, h.sshPort())
		}
		if f.Loss > 0 {
			fmt.Fprintf(&b, "\t\tip daddr %s numgen random mod 100 < %d drop\n\t\tip saddr %s numgen random mod 100 < %d drop\n", h.Address, f.Loss, h.Address, f.Loss)
		}
	}
	set := func(names []string) string {
		var all []string
		for _, n := range names {
			all = append(all, address[n])
		}
		return "{ " + strings.Join(all, ", ") + " }"
	}
	for _, c := range s.cuts {
		a, z := set(c.A), set(c.B)
		fmt.Fprintf(&b, "\t\tip saddr %s ip daddr %s drop\n\t\tip saddr %s ip daddr %s drop\n", a, z, z, a)
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}
