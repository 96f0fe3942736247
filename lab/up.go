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
	"syscall"
	"time"
)

// Booted is a host that answers, and how long that took.
type Booted struct {
	Host
	Took time.Duration
}

// Up boots the lab's hosts and returns when sshd of each answers. In a lab
// that runs already it boots the hosts that are new. Booted gets each host as
// soon as it answers, if it is not nil.
func (l *Lab) Up(ctx context.Context, booted func(Booted)) error {
	if err := Check(); err != nil {
		return err
	}
	p, err := planAddresses(l.hosts)
	if err != nil {
		return err
	}
	unlock, err := lockFile(ctx, l.path("lock"), func() { l.log("waiting for another nixmesh lab that works on this lab") })
	if err != nil {
		return err
	}
	defer unlock()
	if err := checkClash(p, l.link()); err != nil {
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
	if err := l.makeKeys(); err != nil {
		return err
	}
	running, err := l.Status(ctx)
	if errors.Is(err, ErrNotRunning) {
		err = l.withRoom(ctx, func() error { return l.startSupervisor(ctx, base) })
	}
	if err != nil {
		return err
	}
	if err := l.addressMachine(ctx, base, p); err != nil {
		return err
	}
	begin := time.Now()
	add, err := l.addition(p, running, first)
	if err != nil {
		return err
	}
	if _, _, err := l.ask(ctx, request{Op: "add", Add: add}); err != nil {
		return err
	}
	return l.waitBooted(ctx, begin, booted)
}

// addition is what the running lab lacks.
func (l *Lab) addition(p plan, running []HostStatus, first seed) (addition, error) {
	a := addition{Networks: p.networks}
	rootKeys, err := os.ReadFile(l.path(operatorKey + ".pub"))
	if err != nil {
		return a, fmt.Errorf("read key: %w", err)
	}
	for _, h := range l.hosts {
		i := slices.IndexFunc(running, func(r HostStatus) bool { return r.Name == h.Name })
		if i < 0 {
			a.Hosts = append(a.Hosts, newHost{Host: h, Seed: first, HostKey: l.hostKeyPath(h.Name), RootKeys: string(rootKeys)})
		} else if running[i].Address != h.Address.String() {
			return a, fmt.Errorf("host %s runs with address %s, the spec says %s: run nixmesh lab down, then lab up", h.Name, running[i].Address, h.Address)
		}
	}
	return a, nil
}

// startSupervisor starts the lab's supervisor as a daemon of its own and gives
// the machine a link into its network.
func (l *Lab) startSupervisor(ctx context.Context, base string) error {
	if err := l.sweep(ctx); err != nil {
		return err
	}
	images, err := l.cache.images(ctx, l.view(base))
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	defer w.Close()
	log, err := os.OpenFile(l.path("supervisor.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		r.Close()
		return fmt.Errorf("start supervisor: %w", err)
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", l.state) // the argument is for ps
	cmd.Args[0] = stageSupervise
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.Dir = log, log, []*os.File{r}, "/"
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: hostNamespaces,
		Setsid:     true,
	}
	err = cmd.Start()
	r.Close()
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, or with this one
	if err := l.connectMachine(ctx, base, cmd.Process.Pid); err != nil {
		return err
	}
	if err := json.NewEncoder(w).Encode(superviseConfig{State: l.state, ID: l.id(), Base: base, Images: images}); err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	return l.waitSupervisor(ctx, ended)
}

// waitSupervisor waits for the supervisor's first answer.
func (l *Lab) waitSupervisor(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
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
	address := net.JoinHostPort(h.Address.String(), "22")
	for {
		err := sshAnswers(ctx, address)
		if err == nil {
			return nil
		}
		if all, statusErr := l.Status(ctx); statusErr == nil {
			for _, st := range all {
				if st.Name == h.Name && st.State == StateFailed {
					return fmt.Errorf("host %s does not boot: %s\nIts console: %s", h.Name, lastLines(st.Console, 5), st.Console)
				}
			}
		}
		if sleep(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("sshd of %s does not answer on %s: %w (console: %s)", h.Name, address, err, l.path("hosts", h.Name, "console.log"))
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
