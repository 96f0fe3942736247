package deploy

import (
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
)

func TestUIDClash(t *testing.T) {
	t.Parallel()
	facts := &hostfacts.Facts{
		Instances: []hostfacts.Instance{{Service: "web", User: "nm-web", UID: 32000}, {Service: "cache", User: "redis-shop", UID: -1}, {Service: "front", User: "root", UID: 0}},
		Mesh:      &hostfacts.Mesh{Envoy: &hostfacts.Envoy{UID: hostfacts.EnvoyUID}},
	}
	for _, c := range []struct {
		users map[string]int
		want  string
	}{
		{nil, ""},
		{map[string]int{"root": 0, "nm-web": 32000, "redis-shop": 999, hostfacts.AgentUser: hostfacts.AgentUID, hostfacts.EnvoyUser: hostfacts.EnvoyUID}, ""},
		{map[string]int{"nm-web": 998}, `user nm-web of service "web" has uid 998 there, and 32000 in the new system`},
		{map[string]int{"redis-shop": 32000}, `uid 32000 of user nm-web (of service "web") belongs to user redis-shop there`},
		{map[string]int{"nm-web": 32000, "backup": 32000}, `uid 32000 of user nm-web (of service "web") belongs to user backup there`},
		{map[string]int{hostfacts.EnvoyUser: 1001}, "user nixmesh-envoy of nixmesh has uid 1001 there, and 39999 in the new system"},
		{map[string]int{"anna": hostfacts.AgentUID}, "uid 39998 of user nixmesh-agent (of nixmesh) belongs to user anna there"},
		{map[string]int{"toor": 0, "root": 0}, ""},
	} {
		if got := uidClash(c.users, facts); got != c.want {
			t.Errorf("%v: %q, want %q", c.users, got, c.want)
		}
	}
}
