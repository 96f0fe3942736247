package controlplane

import (
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// A fleet half-way through an upgrade works: who has no protocol in common with
// another one hears of it through the others, and says so.
func TestTwoProtocols(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.plain = true
		speak := func(host string, least, most uint64) {
			w.hosts[host].change = func(o *Options) { o.Protocols = catalog.Protocols{Min: least, Max: most} }
		}
		speak("h000", 1, 1)
		speak("h001", 1, 2)
		speak("h002", 1, 2)
		speak("h003", 2, 2)
		speak("h004", 2, 3)
		w.startAll()
		w.seed()
		t.Logf("whole after %s", w.eventually(time.Minute, w.whole))
		w.hosts["h000"].sick("web", true)
		time.Sleep(2 * time.Second)
		t.Logf("ill everywhere after %s", w.eventually(10*time.Second, w.state("web", "h000", agentapi.EndpointUnhealthy)))
		d := w.apply("h000")
		t.Logf("a document everywhere after %s", w.eventually(time.Minute, w.all(d)))
		for _, h := range w.hosts["h000"].agent.Status().Hosts {
			apart := h.Name == "h003" || h.Name == "h004"
			if strings.Contains(h.Problem, "protocols") != apart {
				t.Errorf("%s is shown with %q", h.Name, h.Problem)
			}
			if h.Name == "h004" && h.Protocols != [2]int{2, 3} {
				t.Errorf("protocols of h004: %v", h.Protocols)
			}
		}
		// One after the other is upgraded.
		for _, host := range w.names {
			w.hosts[host].stop()
			speak(host, 2, 3)
			w.hosts[host].sick("web", false)
			w.hosts[host].start()
			time.Sleep(5 * time.Second)
		}
		w.eventually(time.Minute, w.whole)
	})
}
