package deploy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// numbered is a user whose number the kernel's table of NEW counts on.
type numbered struct {
	user, whose string // "nm-web", `of service "web"`
	uid         int
}

// uidClash says which user of NEW cannot have its uid on the host: services, the
// agent and Envoy are known to the kernel by these numbers, so another one
// would speak for them, or they for nobody.
func uidClash(users map[string]int, facts *hostfacts.Facts) string {
	var all []numbered
	for _, i := range facts.Instances {
		// -1 is looked up by name on the host, and root is root.
		if i.UID > 0 && i.User != "" {
			all = append(all, numbered{i.User, fmt.Sprintf("of service %q", i.Service), i.UID})
		}
	}
	if facts.Mesh != nil {
		all = append(all, numbered{hostfacts.AgentUser, "of nixmesh", hostfacts.AgentUID})
	}
	if facts.Mesh != nil && facts.Mesh.Envoy != nil {
		all = append(all, numbered{hostfacts.EnvoyUser, "of nixmesh", facts.Mesh.Envoy.UID})
	}
	for _, n := range all {
		if uid, known := users[n.user]; known && uid != n.uid {
			return fmt.Sprintf("user %s %s has uid %d there, and %d in the new system", n.user, n.whose, uid, n.uid)
		}
		for _, name := range slices.Sorted(maps.Keys(users)) {
			if users[name] == n.uid && name != n.user {
				return fmt.Sprintf("uid %d of user %s (%s) belongs to user %s there", n.uid, n.user, n.whose, name)
			}
		}
	}
	return ""
}
