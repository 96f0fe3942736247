package controlplane

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// TestRefusals: who gave a document wrongly is not asked for it again, and all
// others are, at longer and longer intervals.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, d := newRefusals(), catalog.Document{Version: 7}
		hosts := []string{"h1", "h2", "h3"}
		choose := func(hosts ...string) (string, time.Duration) { return r.choose(d, hosts) }
		if host, _ := choose(hosts...); host == "" {
			t.Fatal("nobody is asked for a new document")
		}
		r.add(d, "h1")
		if host, wait := choose("h1"); host != "" || wait < time.Hour {
			t.Errorf("the one that was refused is asked again: %q after %s", host, wait)
		}
		if host, _ := choose("h1", "h2"); host != "h2" {
			t.Errorf("%q is asked, not the other holder at once", host)
		}
		r.add(d, "h2")
		host, wait := choose(hosts...)
		if host != "" || wait != fetchRetry {
			t.Errorf("the third is asked at once: %q after %s", host, wait)
		}
		time.Sleep(wait)
		if host, _ := choose(hosts...); host != "h3" {
			t.Errorf("%q is asked, not the one that is left", host)
		}
		r.absent(d, "h3")
		if host, wait := choose(hosts...); host != "" || wait < fetchRetry || wait > 2*fetchRetry {
			t.Errorf("one that did not answer is asked again: %q after %s", host, wait)
		}
		if host, _ := r.choose(catalog.Document{Version: 8}, hosts); host == "" {
			t.Error("another document is held back")
		}
		r.keep(map[catalog.Document][]string{d: {"h2"}})
		if host, _ := choose("h1"); host != "h1" {
			t.Errorf("%q is asked: what h1 announced before counts on", host)
		}
		r.forget()
		if host, _ := choose("h2"); host != "h2" {
			t.Errorf("%q is asked of new operators", host)
		}
		for range 40 {
			r.add(d, "h1")
		}
		if _, wait := choose("h2"); wait != fetchRetryMost {
			t.Errorf("the next is asked after %s", wait)
		}
	})
}
