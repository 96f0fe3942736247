package controlplane

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// Agents that start together know each other within seconds, in a fleet of any
// size: of 50, where they do not all keep connections to all any more, and of
// NIXMESH_TEST_HOSTS (200 take minutes; what they cost grows with the square).
// TestChangeReachesTheLast has 100.
func TestConverges(t *testing.T) {
	sizes := []int{2, 3, 5, 50}
	if n, err := strconv.Atoi(os.Getenv("NIXMESH_TEST_HOSTS")); err == nil {
		sizes = append(sizes, n)
	}
	for _, hosts := range sizes {
		t.Run(fmt.Sprint(hosts), func(t *testing.T) {
			inWorld(t, hosts, func(t *testing.T, w *world) {
				w.plain = hosts > 5
				w.startAll()
				w.seed()
				took := w.settled(time.Minute)
				t.Logf("whole after %s", took)
				w.hosts["h001"].sick("web", true)
				time.Sleep(2 * time.Second) // until the check runs
				took = w.eventually(5*time.Second, w.state("web", "h001", agentapi.EndpointUnhealthy))
				t.Logf("ill everywhere after %s", took)
			})
		})
	}
}
