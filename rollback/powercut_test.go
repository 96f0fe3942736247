package rollback

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// simScenarios are ways that a run can go; each is cut at every write.
var simScenarios = map[string]func(s *simHost){
	"committed":           func(*simHost) {},
	"loader fails":        func(s *simHost) { s.fail["NEW boot"] = 1 },
	"switch fails":        func(s *simHost) { s.fail["NEW test"] = 2 },
	"switch finds a lock": func(s *simHost) { s.fail["NEW test"] = 11 },
	"revert fails":        func(s *simHost) { s.fail["NEW test"], s.fail["OLD test"] = 2, 1 },
}

// play is a whole deploy of NEW, as the deployer does it.
func (s *simHost) play() {
	lease := LeaseRequest{Run: simRun, Holder: "anna"}
	sig := ed25519.Sign(s.key, []byte(fmt.Sprintf("1;%s;sha256:h;1;", simNew)))
	req := RootRequest{Release: 2, ReleaseHash: strings.Repeat("b", 64), New: simNew,
		Signatures: []string{"k:" + base64.StdEncoding.EncodeToString(sig)}}
	for _, v := range []struct {
		req  any
		args []string
	}{{lease, []string{"lease", "take", "run"}}, {req, []string{"root", simRun}}, {nil, []string{"activate", simRun}}} {
		if code := s.verb(v.req, v.args...); code != 0 {
			s.t.Fatalf("%v: %d %s", v.args, code, s.out.String())
		}
	}
	for len(s.queue) > 0 { // units only: no timer is due
		unit := s.queue[0]
		s.queue = s.queue[1:]
		s.runUnit(unit)
	}
	if j, err := s.helper().journals.load(); err == nil && j.Phase == PhaseVerifying {
		if s.verb(lease, "lease", "renew", "run"); s.verb(nil, "commit", simRun) != 0 {
			s.t.Fatalf("commit: %s", s.out.String())
		}
	}
	s.settle()
}

// survive plays until the power is cut, and says whether it was.
func (s *simHost) survive(f func()) (wasCut bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(powerCut); !ok {
				panic(r)
			}
			wasCut = true
		}
	}()
	f()
	return false
}

// recover boots what is left and lets reconciliation do its work.
func (s *simHost) recover() {
	s.boot()
	Main(context.Background(), s.env(nil, nil), []string{verbReconcile})
	s.settle()
}

// check demands OLD or NEW, whole: never a third state.
func (s *simHost) check() error {
	h := s.helper()
	running, _ := h.current(), 0
	profile, _ := h.profile()
	loader := s.loader()
	want := simOld
	j, err := h.journals.load()
	if err == nil {
		if !j.Phase.Terminal() && j.Phase != PhaseRooted {
			return fmt.Errorf("run is still %s", j.Phase)
		}
		if j.Phase == PhaseNeedsOperator {
			return fmt.Errorf("needs operator: %s", j.Reason)
		}
		if j.Phase == PhaseCommitted {
			want = simNew
		}
	}
	if running != want || profile != want || loader != want {
		return fmt.Errorf("run %v: runs %s, profile %s, loader %s", j, running, profile, loader)
	}
	for name := range s.disk.names {
		if strings.HasPrefix(name, unitDir+"/nixmesh-") || strings.HasPrefix(name, gcrootsDir+"/run-") {
			return fmt.Errorf("left behind: %s", name)
		}
	}
	return nil
}

// TestPowerCut cuts the power at every change of the disk, in every way that a
// disk may lose what was not synced, and again in the middle of the recovery.
func TestPowerCut(t *testing.T) {
	for name, arrange := range simScenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := newSimHost(t)
			arrange(whole)
			whole.play()
			if err := whole.check(); err != nil {
				t.Fatalf("without a cut: %v", err)
			}
			cuts := 0
			for at := 1; at <= whole.disk.ops; at++ {
				for _, kind := range []cut{cutDropsAll, cutKeepsAll, cutKeepsName} {
					cuts += cutAt(t, arrange, at, kind)
				}
			}
			t.Logf("%d changes of the disk, %d recoveries", whole.disk.ops, cuts)
		})
	}
}

// cutAt cuts once, then recovers, then cuts the recovery at every change.
func cutAt(t *testing.T, arrange func(*simHost), at int, kind cut) (recoveries int) {
	t.Helper()
	begin := func() *simHost {
		s := newSimHost(t)
		arrange(s)
		s.disk.ops, s.disk.cutAt = 0, at
		if !s.survive(s.play) {
			return nil
		}
		s.disk = s.disk.after(kind)
		return s
	}
	s := begin()
	if s == nil {
		return 0
	}
	s.recover()
	if err := s.check(); err != nil {
		t.Fatalf("cut at %d, %s: %v", at, kind, err)
	}
	// Every seventh change of the recovery, each time another seventh.
	for again := 1 + at%7; again <= s.disk.ops; again += 7 {
		s := begin()
		s.disk.cutAt = again
		if !s.survive(s.recover) {
			break
		}
		s.disk = s.disk.after(kind)
		s.recover()
		recoveries++
		if err := s.check(); err != nil {
			t.Fatalf("cut at %d, %s, and at %d of the recovery: %v", at, kind, again, err)
		}
	}
	return recoveries + 1
}
