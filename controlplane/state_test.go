package controlplane

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

func (m *machine) state(name string) string { return filepath.Join(m.file("state"), name) }

func (m *machine) write(name, content string) {
	m.w.t.Helper()
	if err := os.WriteFile(m.state(name), []byte(content), 0o600); err != nil {
		m.w.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	m.w.t.Helper()
	return string(must(os.ReadFile(m.state(name)))(m.w.t))
}

func problem(s agentapi.Status, words string) bool {
	for _, p := range s.Problems {
		if strings.Contains(p.What, words) {
			return true
		}
	}
	return false
}

// Whatever became of a file, the agent starts, says so, and is whole again.
func TestDamagedFiles(t *testing.T) {
	damages := map[string]func(string) string{
		"empty":     func(string) string { return "" },
		"truncated": func(s string) string { return s[:len(s)/2] },
		"bent":      func(s string) string { b := []byte(s); b[len(b)/2] ^= 0x55; return string(b) },
		"noise":     func(string) string { return strings.Repeat("\x00\xff{", 1000) },
	}
	for _, name := range []string{fileEpoch, fileDocument, fileCatalog, fileNodes, filePoison, fileTrying} {
		for what, damage := range damages {
			if name == fileTrying && what == "empty" {
				continue // see TestEmptyMark
			}
			t.Run(name+" "+what, func(t *testing.T) {
				inWholeWorld(t, 2, func(t *testing.T, w *world) {
					m := w.hosts["h000"]
					m.stop()
					if name == filePoison || name == fileTrying {
						m.write(name, string(seal([]byte(hashOf(nil)+"\n"))))
					}
					m.write(name, damage(m.read(name)))
					a := m.start()
					if !problem(a.Status(), name) {
						t.Errorf("not told: %+v", a.Status().Problems)
					}
					if _, err := os.Stat(m.state(name + corrupt)); err != nil {
						t.Error(err)
					}
					if a.Ready() != nil {
						t.Errorf("it does not serve: %v", a.Ready())
					}
					w.eventually(30*time.Second, w.whole)
				})
			})
		}
	}
}

// Nobody waits for the disk to have a mark: an empty one is no damage.
func TestEmptyMark(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.hosts["h000"]
		m.start()
		m.stop()
		m.write(fileTrying, "")
		a := m.start()
		if problem(a.Status(), fileTrying) {
			t.Errorf("told: %+v", a.Status().Problems)
		}
		if _, err := os.Stat(m.state(fileTrying)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
	})
}

// All state is lost: the host is whole again, in an epoch that wins.
func TestStateLost(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		m := w.hosts["h000"]
		for range 3 {
			m.stop()
			m.start()
		}
		w.eventually(30*time.Second, w.whole)
		m.stop()
		if err := os.RemoveAll(m.file("state")); err != nil {
			t.Fatal(err)
		}
		m.sick("web", true)
		a := m.start()
		if a.Ready() == nil {
			t.Fatal("it serves from nothing")
		}
		w.put("h000", w.document) // the deploy that finds it without
		took := w.eventually(30*time.Second, w.state("web", "h000", agentapi.EndpointUnhealthy))
		t.Logf("heard again after %s, in epoch %d", took, a.live.number())
		if got := a.live.number(); got < 5 {
			t.Errorf("epoch %d, used before up to 4", got)
		}
		if got := m.read(fileEpoch); got != string(seal([]byte("5\n"))) {
			t.Errorf("on disk: %s", got)
		}
	})
}

// Files of another schema are nobody's business here, and peers are not needed
// on the way there and back.
func TestOtherSchemas(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		m := w.hosts["h000"]
		m.stop()
		w.hosts["h001"].stop()
		newer := map[string]string{"mesh.v2": "a newer document", "catalog.v2": "\x02", "nodes.v2": "", "epoch.v2": "x", "documents/x.v2": "y"}
		for name, content := range newer {
			m.write(name, content)
		}
		a := m.start()
		time.Sleep(time.Minute)
		if s := a.Status(); a.Ready() != nil || len(s.Problems) != 0 || s.Services[0].Ready == 0 {
			t.Errorf("beside files of a newer release: %+v", s)
		}
		m.stop()
		for name, content := range newer {
			if got := m.read(name); got != content {
				t.Errorf("%s is %q now", name, got)
			}
		}
	})
}

// A disk that takes nothing: the agent goes on in memory and says so, and writes
// when it can.
func TestFullDisk(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		m := w.hosts["h000"]
		if err := os.WriteFile(m.file("state"), nil, 0o600); err != nil { // no folder can be made there
			t.Fatal(err)
		}
		w.startAll()
		w.seed()
		time.Sleep(10 * time.Second)
		if s := m.agent.Status(); !problem(s, m.file("state")) {
			t.Errorf("not told: %+v", s.Problems)
		}
		if missing := w.whole(); missing != "" {
			t.Error(missing)
		}
		if err := os.Remove(m.file("state")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := m.read(fileDocument); got != string(seal(w.document.Canonical())) {
			t.Errorf("written later: %.80q", got)
		}
		if s := m.agent.Status(); problem(s, fileDocument) {
			t.Errorf("still told: %+v", s.Problems)
		}
		// As a disk that was full and is not any more leaves it.
		m.stop()
		m.start()
		w.eventually(30*time.Second, w.whole)
	})
}

func TestFilesAreWhole(t *testing.T) {
	dir := t.TempDir()
	p := newProblems(machineClock{}, func(agentapi.Event) {})
	log := slog.New(slog.DiscardHandler)
	f := openFiles(dir, p, log)
	f.save("a.v1", []byte("one"))
	f.save("a.v1", []byte("two"))
	if err := os.WriteFile(filepath.Join(dir, ".new-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	f = openFiles(dir, p, log)
	if got := string(f.read("a.v1", 10)); got != "two" {
		t.Errorf("read %q", got)
	}
	if f.read("none.v1", 10) != nil || p.count() != 0 {
		t.Errorf("a file that is not there: %+v", p.list())
	}
	info := must(os.Stat(filepath.Join(dir, "a.v1")))(t)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if f.read("a.v1", 2) != nil || p.count() != 1 {
		t.Errorf("a file that is too large: %+v", p.list())
	}
	if got := string(must(os.ReadFile(filepath.Join(dir, "a.v1"+corrupt)))(t)); got != string(seal([]byte("two"))) {
		t.Errorf("set aside: %q", got)
	}
	entries := must(os.ReadDir(dir))(t)
	if len(entries) != 2 { // documents, a.v1.corrupt
		t.Errorf("left behind: %v", entries)
	}
}

// An epoch that could not be begun is not passed over: nothing was said in it.
func TestEpochIsKeptOnce(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	a := must(New(w.hosts["h000"].options()))(t)
	for range 3 {
		if err := a.live.start([]catalog.Update{catalog.Gone("?")}); err == nil {
			t.Fatal("no name of a service is taken")
		}
	}
	a.publish()
	if got := a.live.number(); got != 1 {
		t.Errorf("it begins with epoch %d", got)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	a = must(New(w.hosts["h000"].options()))(t)
	a.publish()
	if got := a.live.number(); got != 2 {
		t.Errorf("it goes on with epoch %d", got)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
