package controlplane

import (
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// One clock that is off says nothing about this host's, until others are heard.
func TestClockOfOnePeer(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name  string
		peers int
		ahead []time.Duration
		told  bool
	}{
		{"the one that is off", 2, []time.Duration{25 * time.Hour}, false},
		{"and one that is not", 2, []time.Duration{25 * time.Hour, time.Second}, false},
		{"both", 2, []time.Duration{25 * time.Hour, 25*time.Hour + time.Second}, true},
		{"the only other host", 1, []time.Duration{25 * time.Hour}, true},
		{"most", 4, []time.Duration{-time.Hour, -time.Hour, -time.Hour, 0}, true},
		{"half", 4, []time.Duration{-time.Hour, -time.Hour, 0, 0}, false},
	} {
		told := newProblems(machineClock{}, func(agentapi.Event) {})
		clocks := &clocks{problems: told, ahead: map[string]sample{}}
		for i, d := range c.ahead {
			clocks.see(string(rune('a'+i)), now.Add(d), now)
		}
		clocks.judge(c.peers)
		if got := len(told.list()) > 0; got != c.told {
			t.Errorf("%s: told is %t", c.name, got)
		}
	}
}
