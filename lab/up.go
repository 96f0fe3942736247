package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Booted is a host that answers, and how long that took.
type Booted struct {
	Host
	Took time.Duration
}

// Up boots the lab's hosts and returns when sshd of each answers. In a lab
// that runs already it boots the hosts that are new, off or failed. Booted gets each host as
// soon as it answers, if it is not nil.
func (l *Lab) Up(ctx context.Context, booted func(Booted)) error {
	if err := Check(); err != nil {
		return err
	}
	p, err := planAddresses(l.hosts)
	if err != nil {
		return err
	}
	lock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := checkClash(p, l.link()); err != nil {
		return err
	}
	if err := l.cache.remember(l.id(), l.state); err != nil {
		return err
	}
	base, err := l.cache.base(ctx)
	if err != nil {
		return err
	}
	if err := l.makeStore(base); err != nil {
		return err
	}
	first, err := l.seed(ctx, base)
	if err != nil {
		return err
	}
	envoy, err := l.cache.envoy(ctx)
	if err != nil {
		return err
	}
	if err := l.cache.collect(ctx, time.Now()); err != nil {
		l.log("old first systems stay in " + l.cache.dir + ": " + err.Error())
	}
	if err := l.makeKeys(); err != nil {
		return err
	}
	running, err := l.Status(ctx)
	if errors.Is(err, ErrNotRunning) {
		err = l.withRoom(ctx, func() error { return l.startSupervisor(ctx, lock, base) })
	}
	if err != nil {
		return err
	}
	if err := l.addressMachine(ctx, lock, base, p); err != nil {
		return err
	}
	begin := time.Now()
	add, err := l.addition(p, running, newHost{Seed: first, Envoy: envoy})
	if err != nil {
		return err
	}
	if _, _, err := l.ask(ctx, request{Op: "add", Add: add}); err != nil {
		return err
	}
	return l.waitBooted(ctx, begin, booted)
}

// addition is what the running lab lacks; layers are what its hosts lie over.
func (l *Lab) addition(p plan, running []HostStatus, layers newHost) (addition, error) {
	a := addition{Networks: p.networks}
	var err error
	if a.Answers, err = l.answers(p, time.Now()); err != nil {
		return a, err
	}
	rootKeys, err := os.ReadFile(l.path(operatorKey + ".pub"))
	if err != nil {
		return a, fmt.Errorf("read key: %w", err)
	}
	for _, h := range l.hosts {
		i := slices.IndexFunc(running, func(r HostStatus) bool { return r.Name == h.Name })
		if i < 0 {
			a.Hosts = append(a.Hosts, newHost{Host: h, Seed: layers.Seed, Envoy: layers.Envoy, HostKey: l.hostKeyPath(h.Name), RootKeys: string(rootKeys)})
			continue
		}
		if running[i].Address != h.Address.String() {
			return a, fmt.Errorf("host %s runs with address %s, the spec says %s: run nixmesh lab down, then lab up", h.Name, running[i].Address, h.Address)
		}
		a.Boot = append(a.Boot, h.Name)
	}
	return a, nil
}

// startSupervisor starts the lab's supervisor as a daemon of its own and gives
// the machine a link into its network.
func (l *Lab) startSupervisor(ctx context.Context, lock *os.File, base string) error {
	if err := l.sweep(ctx); err != nil {
		return err
	}
	images, err := l.cache.images(ctx, l.view(base))
	if err != nil {
		return err
	}
	s, err := l.spawnSupervisor(lock)
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	defer s.config.Close()
	if err := l.connectMachine(ctx, lock, base, s.pid); err != nil {
		return err
	}
	if err := json.NewEncoder(s.config).Encode(superviseConfig{State: l.state, ID: l.id(), Base: base, Images: images}); err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	return l.waitSupervisor(ctx, s.ended)
}

// spawned is a supervisor without a configuration. It ends when config is
// closed before it has one.
type spawned struct {
	pid    int
	config *os.File
	ended  <-chan error
}

// spawnSupervisor starts the supervisor's process, which holds the lab's lock,
// too, until it listens.
func (l *Lab) spawnSupervisor(lock *os.File) (spawned, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return spawned{}, err
	}
	defer r.Close()
	log, err := os.OpenFile(l.path("supervisor.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		w.Close()
		return spawned{}, err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", l.state) // the argument is for ps
	cmd.Args[0] = stageSupervise
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.Dir = log, log, []*os.File{r, lock}, "/"
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: hostNamespaces,
		Setsid:     true,
	}
	if err := cmd.Start(); err != nil {
		w.Close()
		return spawned{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, or with this one
	return spawned{cmd.Process.Pid, w, ended}, nil
}

// superviseDeadline bounds the wait for a supervisor that only has to start.
const superviseDeadline = 2 * time.Minute

// waitSupervisor waits for the supervisor's first answer.
func (l *Lab) waitSupervisor(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, superviseDeadline)
	defer cancel()
	for {
		select {
		case err := <-ended:
			said, _ := os.ReadFile(l.path("supervisor.log"))
			return fmt.Errorf("the lab's supervisor ended at once: %w\n%s", err, bytes.TrimSpace(said))
		default:
		}
		_, _, err := l.ask(ctx, request{Op: "status"})
		if err == nil || !errors.Is(err, ErrNotRunning) {
			return err
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the lab's supervisor (see %s): %w", l.path("supervisor.log"), err)
		}
	}
}

// waitBooted waits until sshd of every host answers.
func (l *Lab) waitBooted(ctx context.Context, begin time.Time, booted func(Booted)) error {
	ctx, cancel := context.WithTimeout(ctx, bootDeadline)
	defer cancel()
	type answer struct {
		Booted
		err error
	}
	answers := make(chan answer)
	for _, h := range l.hosts {
		go func() {
			err := l.WaitSSH(ctx, h)
			answers <- answer{Booted{h, time.Since(begin)}, err}
		}()
	}
	var errs []error
	for range l.hosts {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
		} else if booted != nil {
			booted(a.Booted)
		}
	}
	return errors.Join(errs...)
}

// WaitSSH waits until sshd of a host says its first line, as long as ctx
// lives and the host does.
func (l *Lab) WaitSSH(ctx context.Context, h Host) error {
	address := net.JoinHostPort(h.Address.String(), strconv.Itoa(h.sshPort()))
	var last HostStatus
	for {
		err := sshAnswers(ctx, address)
		if err == nil {
			return nil
		}
		if all, statusErr := l.Status(ctx); statusErr == nil {
			for _, st := range all {
				if st.Name == h.Name {
					last = st
				}
			}
		} else if errors.Is(statusErr, ErrNotRunning) {
			return fmt.Errorf("wait for host %s: %w", h.Name, statusErr)
		}
		if last.State == StateFailed {
			return fmt.Errorf("host %s does not boot: %s\nIts console: %s. nixmesh lab up tries again", h.Name, lastLines(last.Console, 5), last.Console)
		}
		if sleep(ctx, 20*time.Millisecond) != nil {
			hint := ""
			if len(last.Faults) > 0 {
				hint = "; broken on purpose: " + strings.Join(last.Faults, ", ") + ", which nixmesh lab heal ends"
			}
			return fmt.Errorf("sshd of %s does not answer on %s: %w (it is %s%s; console: %s)", h.Name, address, err, last.State, hint, l.path("hosts", h.Name, "console.log"))
		}
	}
}

// sshAnswers connects and reads the first bytes of the greeting.
func sshAnswers(ctx context.Context, address string) error {
	const oneTry = time.Second
	conn, err := (&net.Dialer{Timeout: oneTry}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(oneTry)); err != nil {
		return err
	}
	greeting := make([]byte, 4)
	if _, err := conn.Read(greeting); err != nil {
		return err
	}
	if string(greeting) != "SSH-" {
		return fmt.Errorf("port 22 speaks no SSH")
	}
	return nil
}

// lastLines is the end of a text file.
func lastLines(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
