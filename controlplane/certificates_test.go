package controlplane

import (
	"errors"
	"os"
	"testing"
	"time"
)

// A disk that refuses an authority its folder and its log when it starts: nothing
// is signed that is not written down, and all goes on once the disk takes it.
func TestCertificatesWhereTheDiskRefuses(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.appoint("h000")
		m := w.hosts["h000"]
		m.start()
		w.seed()
		w.install("h000")
		w.eventually(2*time.Minute, w.certified)
		m.stop()
		certs, log := m.state(dirCerts), m.state(dirAuthority+"/issues.v1.jsonl")
		if err := errors.Join(os.RemoveAll(certs), os.WriteFile(certs, nil, 0o600), os.Remove(log), os.Mkdir(log, 0o700)); err != nil {
			t.Fatal(err)
		}

		a := m.start()
		time.Sleep(time.Minute)
		for _, words := range []string{"certificate store", "issue log"} {
			if !problem(a.Status(), words) {
				t.Errorf("%s: not told: %+v", words, a.Status().Problems)
			}
		}
		if _, ok := a.certificates.keeper.Leaf("web"); ok {
			t.Error("signed, and not written down")
		}

		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute) // as long as it may wait until it asks again
		if missing := w.certified(); missing != "" {
			t.Fatal(missing)
		}
		if s := a.Status(); problem(s, "issue log") || !problem(s, "certificate store") {
			t.Errorf("told: %+v", s.Problems)
		}

		if err := os.Remove(certs); err != nil {
			t.Fatal(err)
		}
		w.eventually(2*time.Minute, func() string {
			if _, err := os.Stat(m.state(dirCerts + "/svc-web.v1")); err != nil {
				return err.Error()
			}
			return ""
		})
		if s := a.Status(); len(s.Problems) != 0 {
			t.Errorf("still told: %+v", s.Problems)
		}
	})
}

// An authority that starts on a disk that takes nothing at all gets its
// intermediate when the disk takes it.
func TestAuthorityWhereTheDiskTakesNothing(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.appoint("h000")
		m := w.hosts["h000"]
		if err := os.WriteFile(m.file("state"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		a := m.start()
		w.seed()
		if err := os.Remove(m.file("state")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * tickEvery)
		w.install("h000")
		time.Sleep(20 * time.Minute) // as long as it may wait until it asks again
		if missing := w.certified(); missing != "" {
			t.Fatal(missing)
		}
		if s := a.Status(); len(s.Problems) != 0 {
			t.Errorf("still told: %+v", s.Problems)
		}
		m.stop()
		m.start()
		if missing := w.certified(); missing != "" {
			t.Error("after a restart: " + missing)
		}
	})
}
