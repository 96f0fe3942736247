package rollback

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// tryPlay is play by a deployer that gives up at the first refusal. What is
// left is the host's.
func (s *simHost) tryPlay() {
	lease := LeaseRequest{Run: simRun, Holder: "anna"}
	sig := ed25519.Sign(s.key, []byte(fmt.Sprintf("1;%s;sha256:h;1;", simNew)))
	req := RootRequest{Release: 2, ReleaseHash: strings.Repeat("b", 64), New: simNew,
		Signatures: []string{"k:" + base64.StdEncoding.EncodeToString(sig)}}
	_ = s.verb(lease, "lease", "take", "run") == 0 &&
		s.verb(req, "root", simRun) == 0 &&
		s.verb(nil, "activate", simRun) == 0
	for len(s.queue) > 0 {
		unit := s.queue[0]
		s.queue = s.queue[1:]
		s.runUnit(unit)
	}
	if j, err := s.helper().journals.load(); err == nil && j.Phase == PhaseVerifying {
		s.verb(lease, "lease", "renew", "run")
		s.verb(nil, "commit", simRun)
	}
	s.settle()
}

// whole demands that what runs, the profile and the loader are one system, and
// that the journal, where it says anything, says which.
func (s *simHost) whole() error {
	h := s.helper()
	profile, _ := h.profile()
	running, loader := h.current(), s.loader()
	if running != profile || running != loader {
		return fmt.Errorf("runs %s, profile %s, loader %s", running, profile, loader)
	}
	j, err := h.journals.load()
	if err != nil {
		return nil //nolint:nilerr // no run, or none that can be read
	}
	if j.Phase == PhaseNeedsOperator || (!j.Phase.Terminal() && j.Phase != PhaseRooted) {
		return fmt.Errorf("run is %s: %s", j.Phase, j.Reason)
	}
	if (j.Phase == PhaseCommitted) != (running == simNew) {
		return fmt.Errorf("run is %s, %s runs", j.Phase, running)
	}
	return nil
}

// changes counts the changes of the disk in a whole play.
func changes(t *testing.T, arrange func(*simHost)) int {
	s := newSimHost(t)
	arrange(s)
	s.disk.ops = 0
	s.play()
	return s.disk.ops
}

// TestFullDisk fills the disk before every change. Without another boot or
// verb, the host comes to OLD or NEW, whole; a power cut on top changes
// nothing; with room again the next verb writes the end down.
func TestFullDisk(t *testing.T) {
	for name, arrange := range simScenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := 1; at <= changes(t, arrange); at++ {
				for _, power := range []bool{false, true} {
					s := newSimHost(t)
					arrange(s)
					s.disk.ops, s.disk.hookAt = 0, at
					s.disk.hook = func() { s.disk.full = true }
					s.tryPlay()
					if power {
						s.disk = s.disk.after(cutDropsAll)
						s.disk.full = true
						s.recover()
					}
					if err := s.whole(); err != nil {
						t.Fatalf("full before change %d, power cut %v: %v", at, power, err)
					}
					s.disk.full = false
					s.verb(nil, "status")
					s.settle()
					if err := s.whole(); err != nil {
						t.Fatalf("full before change %d, power cut %v, with room again: %v", at, power, err)
					}
					if _, ok := s.disk.names[shadowFile]; ok {
						t.Fatalf("full before change %d: the shadow stays", at)
					}
				}
			}
		})
	}
}

// TestUnreadableJournal spoils the journal before every change: it is set
// aside, and the host comes to OLD or NEW, whole.
func TestUnreadableJournal(t *testing.T) {
	spoil := map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"zeros":     func(b []byte) []byte { return bytes.Repeat([]byte{0}, len(b)) },
	}
	for name, arrange := range simScenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := 1; at <= changes(t, arrange); at++ {
				for how, spoiled := range spoil {
					for _, power := range []bool{false, true} {
						s := newSimHost(t)
						arrange(s)
						s.disk.ops, s.disk.hookAt = 0, at
						s.disk.hook = func() {
							if f, ok := s.disk.names[journalFile]; ok {
								f.data = spoiled(f.data)
								f.onDisk = f.data
							}
						}
						s.tryPlay()
						if power {
							s.disk = s.disk.after(cutDropsAll)
							s.recover()
						}
						s.verb(nil, "status")
						s.settle()
						if err := s.whole(); err != nil {
							t.Fatalf("%s before change %d, power cut %v: %v", how, at, power, err)
						}
						s.verb(LeaseRequest{Run: simRun}, "lease", "drop", "run")
						if code := s.verb(LeaseRequest{Run: "r3-next"}, "lease", "take", "run"); code != 0 {
							t.Fatalf("%s before change %d: the next deploy is refused: %s", how, at, s.out.String())
						}
					}
				}
			}
		})
	}
}
