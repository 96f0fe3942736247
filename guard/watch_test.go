package guard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit"
	"golang.org/x/sys/unix"
)

// watched is a guard that runs in a network of its own.
type watched struct {
	*network
	o   Options
	log *bytes.Buffer // read it after end
	end func()
}

// watch starts a guard with the tables of the modules' goldens.
func watch(t *testing.T, change func(*Options)) *watched {
	t.Helper()
	needKernel(t)
	w := &watched{network: newNetwork(t), log: &bytes.Buffer{}}
	ready := make(chan struct{})
	w.o = Options{
		Nft: "nft", File: rendered(t, "guard.nft"), Copy: rendered(t, "guard-copy.nft"), Report: filepath.Join(t.TempDir(), "guard.json"),
		Logger: slog.New(slog.NewTextHandler(w.log, nil)), Ready: func() { close(ready) }, Alive: func() {},
	}
	change(&w.o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.do(func() error { return Run(ctx, w.o) }) }()
	w.end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the guard: %v", err)
		}
		done <- nil
	}
	t.Cleanup(w.end)
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatalf("the guard did not start: %v", err)
	case <-time.After(patience):
		t.Fatal("the guard did not start in time")
	}
	return w
}

// until waits for a report.
func (w *watched) until(t *testing.T, what string, ok func(*Report) bool) *Report {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		r, err := ReadReport(w.o.Report)
		if err == nil && ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s: %+v %v", what, r, err)
		}
		_ = wait(t.Context(), 5*time.Millisecond)
	}
}

// replace gives the guard another table, whole, as a switch does.
func (w *watched) replace(t *testing.T, b []byte) {
	t.Helper()
	next := w.o.File + ".next"
	err := os.WriteFile(next, b, 0o600)
	if err == nil {
		err = os.Rename(next, w.o.File)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// table is the kernel's, without what its counters counted.
func (w *watched) table(t *testing.T) string {
	t.Helper()
	return w.run(t, "nft", "--stateless", "list", "table", "inet", "nixmesh")
}

// TestWatchRestores changes the table in every way that comes to mind.
func TestWatchRestores(t *testing.T) {
	t.Parallel()
	w := watch(t, func(*Options) {})
	want := w.table(t)
	if r := w.until(t, "a copy", func(r *Report) bool { return r.Copy }); r.Restored != 0 || r.Last != nil || r.Table == "" {
		t.Errorf("it begins with %+v", r)
	}
	for i, change := range []string{
		"flush ruleset", "delete table inet nixmesh", "flush table inet nixmesh", "insert rule inet nixmesh output accept",
		"flush chain inet nixmesh output", "add element inet nixmesh app_callers { 1234 }", "delete element inet nixmesh app_ports { 20000 }",
		"flush map inet nixmesh edge", "add table inet nixmesh { flags dormant; }", "add chain inet nixmesh other",
		"delete table inet nixmesh; add table inet nixmesh", "flush ruleset; add table ip filter",
	} {
		w.run(t, "nft", change)
		r := w.until(t, change, func(r *Report) bool { return r.Restored > i })
		if r.Last.By != "nft" || r.Error != "" || r.Restored != i+1 {
			t.Errorf("%s: %+v %+v", change, r, r.Last)
		}
		if got := w.table(t); got != want {
			t.Errorf("%s: the table is\n%s", change, got)
		}
		t.Logf("%-50s %6.1f ms", change, float64(r.Last.Took)/1000)
	}
	// Tables of others are theirs.
	before := w.until(t, "a report", func(*Report) bool { return true })
	w.run(t, "nft", "add table ip other; add chain ip other c")
	w.run(t, "nft", "delete table ip other")
	// A switch loads the table itself, and takes nothing back.
	w.run(t, "nft", "-f", w.o.File)
	r := w.until(t, "a load", func(r *Report) bool { return r.Loaded.After(before.Loaded) })
	if r.Restored != before.Restored {
		t.Errorf("a load of this table was undone: %+v", r.Last)
	}
	if got := w.table(t); got != want {
		t.Errorf("the table is\n%s", got)
	}
}

// TestWatchLeavesNoGap: while somebody flushes the host's tables again and
// again, nobody gets through.
func TestWatchLeavesNoGap(t *testing.T) {
	t.Parallel()
	w := watch(t, func(*Options) {})
	w.until(t, "a copy", func(r *Report) bool { return r.Copy })
	w.listens(t, root, "0.0.0.0:8099", "wildcard")
	w.wantCalls(t, call{root, "127.0.0.1:8099", "wildcard"})
	tried, through := 0, 0
	for i := range 5 {
		w.run(t, "nft", "flush", "ruleset")
		if err := w.do(func() error {
			deadline := time.Now().Add(patience)
			for restored := false; !restored; tried++ {
				if dial("tcp", netip.MustParseAddrPort("127.64.0.9:8099"), patience) != "refused" {
					through++
				}
				r, err := ReadReport(w.o.Report)
				if err != nil && (!errors.Is(err, ErrSilent) || time.Now().After(deadline)) { // it says nothing while it loads
					return err
				}
				restored = err == nil && r.Restored > i
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d connections got through", through, tried)
	if through != 0 {
		t.Errorf("%d of %d connections got through", through, tried)
	}
	// Of both the table and its copy, and those of tables that are gone.
	r := w.until(t, "the counters", func(r *Report) bool { return r.Counts.Undeclared > 0 })
	if r.Counts.Undeclared > uint64(tried) {
		t.Errorf("%d refusals of %d connections", r.Counts.Undeclared, tried)
	}
}

// TestWatchCounts reads what the table refused.
func TestWatchCounts(t *testing.T) {
	t.Parallel()
	w := watch(t, func(*Options) {})
	w.wantCalls(t, call{nobody, "127.64.0.2:80", refused}, call{nobody, "127.0.0.1:20000", refused}, call{root, "127.0.0.1:20001", refused}, call{nobody, "127.0.0.1:8080", refused})
	w.until(t, "one and two", func(r *Report) bool { return r.Counts == Counts{Undeclared: 1, AppDenied: 2, Plaintext: 1} })
	w.run(t, "nft", "flush", "ruleset")
	w.until(t, "a restore", func(r *Report) bool { return r.Restored == 1 })
	w.wantCalls(t, call{root, "127.64.0.2:80", refused})
	w.until(t, "one more", func(r *Report) bool { return r.Counts == Counts{Undeclared: 2, AppDenied: 2, Plaintext: 1} })
	// What the copy counted while the table was away is counted once, however
	// often the table is restored after that.
	file, err := os.ReadFile(w.o.File)
	if err != nil {
		t.Fatal(err)
	}
	w.until(t, "a copy", func(r *Report) bool { return r.Copy })
	w.replace(t, []byte("no table\n"))
	w.run(t, "nft", "flush", "ruleset")
	w.until(t, "an error", func(r *Report) bool { return r.Error != "" })
	w.wantCalls(t, call{root, "127.64.0.2:80", refused})
	w.replace(t, file)
	for i := range 2 {
		w.until(t, "the copy's", func(r *Report) bool { return r.Restored == i+2 && r.Counts.Undeclared >= 3 })
		w.run(t, "nft", "flush", "ruleset")
	}
	w.wantCalls(t, call{root, "127.64.0.2:80", refused})
	if r := w.until(t, "one more", func(r *Report) bool { return r.Restored == 4 && r.Counts.Undeclared >= 4 }); r.Counts != (Counts{Undeclared: 4, AppDenied: 2, Plaintext: 1}) {
		t.Errorf("it counts %+v", r.Counts)
	}
}

// TestWatchHolds: an nft that dies is started again, and the copy is back.
func TestWatchHolds(t *testing.T) {
	t.Parallel()
	w := watch(t, func(*Options) {})
	w.until(t, "a copy", func(r *Report) bool { return r.Copy })
	kill(t, w.network)
	for begun := time.Now(); !strings.Contains(w.run(t, "nft", "list", "tables"), copyName); {
		if time.Since(begun) > patience {
			t.Fatal("the copy does not come back")
		}
	}
	w.end()
	if out := w.run(t, "nft", "list", "tables"); strings.TrimSpace(out) != "table inet nixmesh" {
		t.Errorf("it leaves %s", out)
	}
}

// kill kills the nft that stays in a network, and the copy with it.
func kill(t *testing.T, n *network) {
	t.Helper()
	here, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d", n.ns.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		name, _ := os.ReadFile(p + "/comm") // one that has ended has none
		ns, err := os.Stat(p + "/ns/net")
		if err != nil || string(name) != "nft\n" || !os.SameFile(here, ns) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(p))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); err == nil; _, err = os.Stat(p) {
			if time.Now().After(deadline) {
				t.Fatal("an nft that was killed does not end")
			}
			_ = wait(t.Context(), 5*time.Millisecond)
		}
		return
	}
	t.Fatal("no nft stays")
}

// TestWatchOfABadTable: what cannot be loaded is no start; what cannot be
// loaded any more is said, and tried again.
func TestWatchOfABadTable(t *testing.T) {
	t.Parallel()
	needKernel(t)
	bad := filepath.Join(t.TempDir(), "guard.nft")
	if err := os.WriteFile(bad, []byte("table inet nixmesh {\n  comment \"nixmesh "+strings.Repeat("0", 64)+"\"\n  set s { type uid; elements = { nobody-knows-them } }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Nft: "nft", File: bad, Report: filepath.Join(t.TempDir(), "guard.json"), Logger: slog.New(slog.DiscardHandler), Ready: func() { t.Error("ready") }, Alive: func() {}}
	n := newNetwork(t)
	if err := n.do(func() error { return Run(t.Context(), o) }); err == nil || !strings.Contains(err.Error(), "nobody-knows-them") {
		t.Errorf("got error %v", err)
	}
	if r, err := ReadReport(o.Report); err != nil || !strings.Contains(r.Error, "nobody-knows-them") || r.Table != "" {
		t.Errorf("the report is %+v %v", r, err)
	}

	w := watch(t, func(*Options) {})
	good, err := os.ReadFile(w.o.File)
	if err != nil {
		t.Fatal(err)
	}
	w.replace(t, []byte("no table\n"))
	w.run(t, "nft", "flush", "ruleset")
	w.until(t, "an error", func(r *Report) bool {
		return strings.Contains(r.Error, "load the kernel's table") && r.Table == "" && r.Copy
	})
	w.replace(t, good)
	w.until(t, "the table", func(r *Report) bool { return r.Error == "" && r.Restored == 1 })
	w.end()
	if n := strings.Count(w.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("it says %d times what is wrong:\n%s", n, w.log)
	}
}

// TestWatchWithoutACopy: the table alone is enough.
func TestWatchWithoutACopy(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "guard-copy.nft")
	if err := os.WriteFile(bad, []byte("table inet nixmesh_copy {\n  comment \"nixmesh "+strings.Repeat("0", 64)+"\"\n  flags nothing\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := watch(t, func(o *Options) { o.Copy = bad })
	w.run(t, "nft", "flush", "ruleset")
	r := w.until(t, "the table", func(r *Report) bool { return r.Restored == 1 })
	if r.Copy || r.Apart == "" {
		t.Errorf("it does not say that there is no copy: %+v", r)
	}
	w.end()
	if n := strings.Count(w.log.String(), "has no copy"); n != 1 {
		t.Errorf("it says %d times that there is none:\n%s", n, w.log)
	}
}

// TestWatchRestoresOnce: what a tick finds changed may be told a moment later,
// and is one change. One that nobody tells is mended all the same.
func TestWatchRestoresOnce(t *testing.T) {
	t.Parallel()
	needKernel(t)
	for by, told := range map[string]bool{"nft": true, "": false} {
		n := newNetwork(t)
		w := &Watcher{o: Options{
			Nft: "nft", File: rendered(t, "guard.nft"), Report: filepath.Join(t.TempDir(), "guard.json"),
			Logger: slog.New(slog.DiscardHandler), Alive: func() {},
		}}
		step := func() error { return w.step(t.Context()) }
		if err := n.do(func() (err error) {
			if w.changes, err = openSocket(told); err != nil {
				return err
			}
			t.Cleanup(func() { _ = w.changes.close() })
			if w.kernel, err = openSocket(false); err != nil {
				return err
			}
			t.Cleanup(func() { _ = w.kernel.close() })
			w.kernel.limit = patience
			if err := w.load(t.Context()); err != nil {
				return err
			}
			return step()
		}); err != nil {
			t.Fatal(err)
		}
		n.run(t, "nft", "flush", "ruleset")
		for range 2 {
			if err := n.do(step); err != nil {
				t.Fatal(err)
			}
		}
		if r := w.report; r.Restored != 1 || r.Last.By != by {
			t.Errorf("told %v: it restores %d times: %+v", told, r.Restored, r.Last)
		}
	}
}

// TestWatchSaysAllThatIsWrong: nft may say what is wrong with a copy in parts.
func TestWatchSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	nft := filepath.Join(t.TempDir(), "nft")
	testkit.WriteProgram(t, nft, []byte("#!/bin/sh\n[ \"$1\" = -f ] && exec nft \"$@\"\nread -r line; echo Error: no; cat; echo such table\n"))
	w := watch(t, func(o *Options) { o.Nft = nft })
	if r := w.until(t, "an error", func(r *Report) bool { return r.Apart != "" }); !strings.HasSuffix(r.Apart, "Error: no\nsuch table") {
		t.Errorf("it says %q", r.Apart)
	}
}

// TestWatchHearsTransactionsInParts: what a transaction did and its end are two
// messages, and a tick may come between them.
func TestWatchHearsTransactionsInParts(t *testing.T) {
	t.Parallel()
	pair := func() (ours, kernels *os.File) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours, kernels = os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "the kernel's")
		t.Cleanup(func() { _, _ = ours.Close(), kernels.Close() })
		return ours, kernels
	}
	file := filepath.Join(t.TempDir(), "guard.nft")
	if err := os.WriteFile(file, []byte("table inet nixmesh {\n  comment \"nixmesh "+strings.Repeat("0", 64)+"\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	changes, kernel := pair()
	asks, deaf := pair()
	_ = deaf.Close()
	w := &Watcher{
		o:       Options{Nft: "true", File: file, Report: filepath.Join(t.TempDir(), "guard.json"), Logger: slog.New(slog.DiscardHandler), Alive: func() {}},
		changes: &socket{file: changes, buf: make([]byte, 4096)}, kernel: &socket{file: asks, buf: make([]byte, 4096)},
	}
	tell := func(kind uint16, attrs []byte) {
		t.Helper()
		b := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+headerSize+len(attrs)))
		b = binary.NativeEndian.AppendUint16(b, unix.NFNL_SUBSYS_NFTABLES<<8|kind)
		b = append(b, make([]byte, 10)...) // flags, number, sender
		b = append(b, unix.NFPROTO_INET, 0, 0, 0)
		if _, err := kernel.Write(append(b, attrs...)); err != nil {
			t.Fatal(err)
		}
		if err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tell(unix.NFT_MSG_NEWCHAIN, attribute(nil, attrTable, []byte(tableName+"\x00")))
	if w.report.Restored != 0 {
		t.Error("the table was restored before the transaction's end")
	}
	tell(unix.NFT_MSG_NEWGEN, nil)
	for deadline := time.Now().Add(patience); w.report.Restored == 0 && time.Now().Before(deadline); { // a machine that stalls for a whole tick
		if err := w.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if w.report.Restored == 0 {
		t.Error("a change was not heard of whose end came after a tick")
	}
}
