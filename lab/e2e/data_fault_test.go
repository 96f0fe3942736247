package e2e

import (
	"net/http"
	"testing"
	"time"
)

// testInstanceKilled kills copies of a service under load.
func (f *fleet) testInstanceKilled(t *testing.T, web *caller) {
	loads := map[string]*load{
		"kept connections": startLoad(web, "http://plain.mesh/load", 50, false),
		"new connections":  startLoad(web, "http://plain.mesh/load", 20, true),
	}
	for _, host := range []string{"h2", "h3"} {
		for _, l := range loads {
			l.more(t, 20)
		}
		pid := f.ssh(host, "systemctl show -P MainPID plain.service").want(t, 0).stdout
		f.ssh(host, "systemctl kill -s KILL plain.service").want(t, 0)
		until(t, "another plain on "+host, func() bool {
			r := f.ssh(host, "systemctl is-active -q plain.service && systemctl show -P MainPID plain.service")
			return r.code == 0 && r.stdout != pid
		})
		f.wantWhole(t)
		for _, l := range loads {
			l.more(t, 20)
		}
	}
	for what, l := range loads {
		if failed := l.end(t, what); failed > 0 {
			t.Errorf("%s: %d requests failed", what, failed)
		}
	}
}

// testDataPartition: a host that is cut off is gone around, and used again when it is back.
func (f *fleet) testDataPartition(t *testing.T, web *caller) {
	web.wantStatus(t, "http://narrow.mesh/open/", 200)
	f.lab("partition", "h1", "h2").want(t, 0)
	began := time.Now()
	var s said
	until(t, "what runs on h2 alone fails", func() bool {
		s = web.get("http://narrow.mesh/open/")
		return s.status == http.StatusServiceUnavailable || s.status == http.StatusGatewayTimeout
	})
	t.Logf("what runs on h2 alone fails %.1f s after the cut: %s", time.Since(began).Seconds(), s)
	l := startLoad(web, "http://plain.mesh/load", 20, false)
	l.more(t, 60)
	// Calls that wait for h2 are tried again elsewhere.
	if failed := l.end(t, "with one of three hosts cut off"); failed > 0 {
		t.Errorf("%d requests failed", failed)
	}
	f.lab("heal").want(t, 0)
	began = time.Now()
	web.wantStatus(t, "http://narrow.mesh/open/", 200)
	t.Logf("it answers %.1f s after the heal", time.Since(began).Seconds())
	f.wantConvened(t)
	f.wantWhole(t)
}
