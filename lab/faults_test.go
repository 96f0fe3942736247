package lab

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// dial connects from this machine to a host's port 22, if that comes about soon.
func (l *testLab) dial(host string) (net.Conn, error) {
	return net.DialTimeout("tcp", l.status(host).Address+":22", time.Second)
}

// greeted waits for a connection to a host's port 22 on which its sshd speaks.
func (l *testLab) greeted(host string) net.Conn {
	l.t.Helper()
	conn, err := net.DialTimeout("tcp", l.status(host).Address+":22", patience)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		l.t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 256)); err != nil {
		l.t.Fatal(err)
	}
	return conn
}

func (l *testLab) breakHost(host string, f Fault) {
	l.t.Helper()
	if err := l.Break(l.t.Context(), host, f); err != nil {
		l.t.Fatal(err)
	}
}

func (l *testLab) heal() {
	l.t.Helper()
	if err := l.Heal(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	for _, h := range l.hosts {
		if faults := l.status(h.Name).Faults; len(faults) > 0 {
			l.t.Errorf("%s is left with %v", h.Name, faults)
		}
	}
}

// TestFaults runs on one lab: each fault acts, shows in the status, and is
// gone after heal.
func TestFaults(t *testing.T) {
	l := newTestLab(t, "a", "b", "c")
	l.up()
	shows := func(host, fault string) {
		t.Helper()
		if got := l.status(host).Faults; len(got) != 1 || got[0] != fault {
			t.Errorf("status of %s shows %q, want %q", host, got, fault)
		}
	}

	if err := l.Partition(t.Context(), []string{"a"}, []string{"b"}); err != nil {
		t.Fatal(err)
	}
	shows("a", "cut off from b")
	if l.reaches("a", "b") || l.reaches("b", "a") {
		t.Error("the partition is not between a and b")
	}
	l.wantReach("a", "c")
	l.heal()
	l.wantReach("a", "b")

	conn := l.greeted("a")
	l.breakHost("a", Fault{CutSSH: true})
	shows("a", "cut-ssh")
	if _, err := l.dial("a"); err == nil {
		t.Error("port 22 answers in spite of cut-ssh")
	}
	if _, err := conn.Write([]byte("SSH-2.0-probe\r\n")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 256)); err == nil {
		t.Error("an established connection goes on in spite of cut-ssh")
	}
	l.heal()
	l.mustRun("a", "true")

	l.breakHost("a", Fault{FillStore: true})
	shows("a", "fill-store")
	if _, err := l.run("a", "head -c 100000 /dev/zero > /nix/full"); err == nil {
		t.Error("a full store takes another file")
	}
	l.mustRun("a", "rm -f /nix/full; true > /boot/x")
	l.heal()
	l.breakHost("a", Fault{FillBoot: true})
	shows("a", "fill-boot")
	if out, err := l.run("a", "head -c 100000 /dev/zero > /boot/x"); err == nil || !strings.Contains(out, "No space left") {
		t.Errorf("a full /boot takes another file: %v %s", err, out)
	}
	l.heal()
	l.mustRun("a", "head -c 100000 /dev/zero > /boot/x && head -c 100000 /dev/zero > /nix/full")

	l.breakHost("a", Fault{Slow: 100 * time.Millisecond})
	shows("a", "slow 100ms")
	// On a busy machine the first packet may be lost, and is sent again after a
	// second: some round trip has to take what was asked for, and none less.
	var begin time.Time
	took, deadline := time.Hour, time.Now().Add(patience)
	for took > time.Second && time.Now().Before(deadline) {
		begin = time.Now()
		slow, err := l.dial("a")
		if err != nil {
			t.Log(err)
			continue
		}
		slow.Close()
		took = time.Since(begin)
	}
	if took < 200*time.Millisecond || took > time.Second {
		t.Errorf("a round trip to a slow host took %s, want 200 ms", took)
	}
	if out := l.mustRun("a", "head -c 3000000 /dev/zero | sha256sum; head -c 300000 /dev/zero | tr '\\0' x"); len(out) < 300000 {
		t.Errorf("a slow link lost data: %d bytes came", len(out))
	}
	l.heal()
	begin = time.Now()
	l.mustRun("a", "true")
	t.Logf("ssh after heal took %s", time.Since(begin))

	l.breakHost("a", Fault{Loss: 50})
	shows("a", "loss 50%")
	l.heal()
	if err := l.Break(t.Context(), "a", Fault{}); err == nil {
		t.Error("no fault at all is taken for one")
	}
	if err := l.Break(t.Context(), "z", Fault{Power: true}); err == nil || !strings.Contains(err.Error(), `no host "z"`) {
		t.Errorf("a fault on a host that is not there: %v", err)
	}
}

func TestLoss(t *testing.T) {
	l := newTestLab(t, "a")
	l.up()
	l.breakHost("a", Fault{Loss: 50})
	to := l.status("a").Address + ":22"
	// A quarter comes about at once when half is lost each way: what is lost is sent
	// again after a second. A machine that is busy for so long makes it fewer, for a while.
	const round = 50
	tried, got := 0, 0
	for deadline := time.Now().Add(patience); (tried < 4*round || got < 10) && time.Now().Before(deadline); tried += round {
		var came atomic.Int32
		var wg sync.WaitGroup
		for range round {
			wg.Go(func() {
				if conn, err := net.DialTimeout("tcp", to, 900*time.Millisecond); err == nil {
					_ = conn.Close()
					came.Add(1)
				}
			})
		}
		wg.Wait()
		got += int(came.Load())
	}
	if got < 10 || got > tried*6/10 {
		t.Errorf("of %d connections over a link that loses half, %d came about at once", tried, got)
	}
}

func TestHangSwitch(t *testing.T) {
	l := newTestLab(t, "a")
	l.up()
	const program = "/run/current-system/bin/switch-to-configuration"
	l.breakHost("a", Fault{HangSwitch: 1})
	if out, err := l.run("a", program+" dry-activate"); err != nil {
		t.Errorf("dry-activate hangs, too: %v %s", err, out)
	}
	// A switch that lasts until it is seen, however busy the machine is.
	const endless = `p=/tmp/switch-to-configuration; printf '#!/bin/sh\nwhile :; do sleep 0.1; done\n' > $p && chmod +x $p
$p test & for i in $(seq 1200); do test "$(cut -d' ' -f3 /proc/$!/stat)" = T && break; sleep 0.1; done
cut -d' ' -f3 /proc/$!/stat; kill -KILL $!`
	if out := l.mustRun("a", endless); strings.TrimSpace(out) != "T" {
		t.Errorf("the switch did not hang: %s", out)
	}
	if out, err := l.run("a", "timeout 100 "+program+" test"); err != nil {
		t.Errorf("the switch after it: %v %s", err, out)
	}
}

// wantNoTraces looks for what this lab could leave on the machine. Other labs
// come and go meanwhile.
func (l *testLab) wantNoTraces() {
	l.t.Helper()
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			l.t.Fatal(err)
		}
		return string(text)
	}
	for line := range strings.Lines(read("/proc/self/mountinfo")) {
		if strings.Contains(line, l.state) || strings.Contains(line, l.id()) {
			l.t.Errorf("left behind: mount %s", line)
		}
	}
	if _, err := net.InterfaceByName(l.link()); err == nil {
		l.t.Errorf("left behind: link %s", l.link())
	}
	for line := range strings.Lines(read("/proc/net/route")) {
		if strings.HasPrefix(line, l.link()) {
			l.t.Errorf("left behind: route %s", line)
		}
	}
	loops, err := loopsOf(l.state)
	if err != nil || len(loops) > 0 {
		l.t.Errorf("left behind: loop devices %v (%v)", loops, err)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/nixmesh-lab-", "/sys/fs/cgroup/*/nixmesh-lab-"} {
		groups, err := filepath.Glob(pattern + l.id())
		if err != nil || len(groups) > 0 {
			l.t.Errorf("left behind: cgroups %v (%v)", groups, err)
		}
	}
	if processes := l.processes(); len(processes) > 0 {
		l.t.Errorf("left behind: processes %q", processes)
	}
	if _, err := os.Lstat(l.cache.path("labs", l.id())); err == nil {
		l.t.Error("left behind: the lab is registered in the cache")
	}
}

// processes are the command lines that name this lab's folder.
func (l *testLab) processes() []string {
	l.t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		l.t.Fatal(err)
	}
	var found []string
	for _, path := range lines {
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), l.state) {
			found = append(found, filepath.Dir(path)+" "+string(text))
		}
	}
	return found
}

func TestDownLeavesNothing(t *testing.T) {
	l := newTestLab(t, "a", "b")
	l.up()
	l.breakHost("a", Fault{Slow: 10 * time.Millisecond, Loss: 1, FillBoot: true})
	begin := time.Now()
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("down took %s, want less than %s", took, patience)
	}
	l.wantNoTraces()
	left, err := os.ReadDir(l.state)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		switch e.Name() {
		case "hostkeys", operatorKey, operatorKey + ".pub", nixKey, nixKey + ".pub", "known_hosts", "lock":
		default:
			t.Errorf("left in the state folder: %s", e.Name())
		}
	}
	if err := l.Down(t.Context()); err != nil {
		t.Errorf("down of a lab that is down: %v", err)
	}
}

// TestClock: the agent alone gets another clock, until heal or a reboot.
func TestClock(t *testing.T) {
	l := newTestLab(t, "a")
	l.up()
	if err := l.Break(t.Context(), "a", Fault{Clock: time.Hour}); err == nil {
		t.Error("the clock of no agent was moved")
	}
	const agent = `mkdir -p /run/systemd/system && printf '[Service]\nExecStart=/bin/sleep infinity\n' > /run/systemd/system/nixmesh-agent.service && systemctl daemon-reload && systemctl start nixmesh-agent`
	offset := func() string {
		t.Helper()
		return l.mustRun("a", `tr '\0' '\n' < /proc/$(systemctl show -P MainPID nixmesh-agent)/environ | sed -n s/^NIXMESH_DEBUG_CLOCK_OFFSET=//p`)
	}
	l.mustRun("a", agent)
	for _, by := range []time.Duration{25 * time.Hour, -90 * time.Second} {
		l.breakHost("a", Fault{Clock: by})
		if got := offset(); got != by.String() {
			t.Errorf("the agent's clock is moved by %q, want %s", got, by)
		}
	}
	if got := l.status("a").Faults; len(got) != 1 || got[0] != "clock -1m30s" {
		t.Errorf("the status shows %q", got)
	}
	l.heal()
	if got := offset(); got != "" {
		t.Errorf("after heal the agent's clock is moved by %s", got)
	}
	l.breakHost("a", Fault{Clock: time.Hour})
	boot := l.mustRun("a", "cat "+bootIDFile)
	l.breakHost("a", Fault{Power: true})
	l.waitBoot("a", boot)
	if got := l.status("a").Faults; len(got) != 0 {
		t.Errorf("after a reboot the status shows %q", got)
	}
	l.heal()
}
