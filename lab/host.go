package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// hostNamespaces are those that a host is born in. It makes the one for
// cgroups itself, from inside its own group.
const hostNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// powerPause is how long the power is away in a power cut.
const powerPause = time.Second

// Host states.
const (
	StateBooting = "booting" // it has no process 1 yet, or again
	StateRunning = "running" // its process 1 lives
	StateOff     = "off"     // it powered off, or stays without power
	StateFailed  = "failed"  // its loader or process 1 ended by itself; see its console
)

// host is one machine of the lab, as its supervisor has it.
type host struct {
	Host
	dir  string        // <state>/hosts/<name>
	port string        // its end of the cable, on the bridge
	wake chan struct{} // asks a host that is off to boot

	mu       sync.Mutex // guards everything below
	state    string
	pid      int // process 1 in the supervisor's numbers, 0 when none
	boots    int
	since    time.Time // of state
	stayOff  bool      // a power cut from which it does not come back
	cut      bool      // the power is being cut
	faults   Fault     // in force
	stopHang func()    // ends the watch for a switch to hang
	relay    *relay
}

func (h *host) path(elem ...string) string {
	return filepath.Join(append([]string{h.dir}, elem...)...)
}

func (h *host) root() string { return h.path("root") }

// run boots the host again and again, as long as the supervisor lives.
func (h *host) run(s *supervisor) {
	log := s.log.With("host", h.Name)
	for {
		end, err := h.boot(s)
		if err != nil {
			h.note(err)
		}
		next, pause := h.ended(end, err)
		log.Info("host ended", "status", describeEnd(end), "err", err, "next", next)
		if next != StateBooting {
			<-h.wake // from switchOn
		} else if pause {
			time.Sleep(powerPause)
		}
	}
}

// switchOn boots the host if it is down; the caller sees that in its state at
// once.
func (h *host) switchOn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != StateOff && h.state != StateFailed {
		return
	}
	h.state, h.since = StateBooting, time.Now()
	h.wake <- struct{}{} // has room: run takes it before the state is one of those again
}

// note tells in the host's console why the lab could not boot it.
func (h *host) note(err error) {
	f, openErr := os.OpenFile(h.path("console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if openErr != nil {
		return // the supervisor's log has it
	}
	defer f.Close()
	fmt.Fprintf(f, "lab: %v\n", err)
}

// ended decides what comes after a boot: a reboot ends process 1 with SIGHUP,
// a power-off with SIGINT. pause means that the power was cut.
func (h *host) ended(end syscall.WaitStatus, err error) (next string, pause bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pid, h.since = 0, time.Now()
	h.faults.Clock = 0 // its drop-in was in /run
	pause = h.cut
	switch {
	case err != nil:
		h.state = StateFailed
	case h.stayOff:
		h.state = StateOff
	case end.Signaled() && (end.Signal() == unix.SIGHUP || h.cut):
		h.state = StateBooting
	case end.Signaled() && end.Signal() == unix.SIGINT:
		h.state = StateOff
	default:
		h.state = StateFailed
	}
	h.stayOff, h.cut = false, false
	return h.state, pause
}

func describeEnd(end syscall.WaitStatus) string {
	if end.Signaled() {
		return end.Signal().String()
	}
	return fmt.Sprintf("exit %d", end.ExitStatus())
}

// boot starts the host and returns when its process 1 has ended.
func (h *host) boot(s *supervisor) (syscall.WaitStatus, error) {
	group, err := s.cgroups.fresh(h.Name)
	if err != nil {
		return 0, err
	}
	defer group.Close()
	console, err := openConsole(h.path("console.log"))
	if err != nil {
		return 0, err
	}
	defer console.close()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("start host: %w", err)
	}
	defer w.Close()
	cmd := stageCommand(context.Background(), stageBoot)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = console.line, console.line, []*os.File{r}
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  hostNamespaces,
		UseCgroupFD: true, CgroupFD: int(group.Fd()),
		Setsid: true,
	}
	err = cmd.Start()
	r.Close()
	if err != nil {
		return 0, fmt.Errorf("start host: %w", err)
	}
	h.mu.Lock()
	h.pid, h.state, h.since = cmd.Process.Pid, StateRunning, time.Now()
	h.boots++
	h.mu.Unlock()
	err = h.connect(s)
	if err == nil {
		config := s.bootConfig(h)
		config.Console = console.line.Name()
		err = json.NewEncoder(w).Encode(config)
	}
	if err != nil {
		s.log.Error("connect host", "host", h.Name, "err", err)
		h.note(fmt.Errorf("connect host: %w", err))
	}
	w.Close() // without a configuration, the stage ends
	waitErr := cmd.Wait()
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("wait for host: %w", waitErr)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), nil
}

// connect plugs the host's cable in, through the relay if it is slow.
func (h *host) connect(s *supervisor) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := plug(s.Base, h.port, h.pid, h.Address); err != nil {
		return err
	}
	return h.slow(s.Base, h.faults.Slow)
}

func (s *supervisor) bootConfig(h *host) bootConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bootConfig{Name: h.Name, Root: h.root(), Boot: h.path("boot"), Address: h.Address, Networks: routed(s.networks)}
}

// newHost is a host to be made, and where its parts come from.
type newHost struct {
	Host
	Seed     seed
	Envoy    string // folder with Envoy, a layer
	HostKey  string // path of its private ssh host key
	RootKeys string // authorized_keys of root, whatever the system's own are
}

// addition is what `lab up` asks for.
type addition struct {
	Hosts    []newHost // to be made
	Boot     []string  // names of hosts to be booted if they are down
	Networks []netip.Prefix
	Answers  []answer // for externals; all of them
}

// open mounts the host's disks, and makes them first where they are missing:
// a lab that lost its supervisor comes back like machines after a blackout.
func (h *host) open(s *supervisor, spec newHost) error {
	var disk hostDisk
	if err := disk.read(h.dir); errors.Is(err, os.ErrNotExist) {
		if err := h.make(s, spec); err != nil {
			return err
		}
		if err := disk.read(h.dir); err != nil {
			return err
		}
	} else if err != nil {
		return err
	} else if err := h.mountDisks(h.dir); err != nil {
		return err
	}
	var m mounts
	m.mount("overlay", h.root(), "overlay", unix.MS_NOATIME, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s",
		strings.Join(disk.Lower, ":"), h.path("disk/upper"), h.path("disk/work")))
	return m.err
}

// unmount undoes what open did before it failed.
func (h *host) unmount() {
	for _, name := range []string{"root", "boot", "disk"} {
		_ = unix.Unmount(h.path(name), unix.MNT_DETACH) // normally not mounted
	}
}

func (h *host) mountDisks(dir string) error {
	if err := mountImage(filepath.Join(dir, diskImage), filepath.Join(dir, "disk")); err != nil {
		return err
	}
	return mountImage(filepath.Join(dir, bootImage), filepath.Join(dir, "boot"))
}
