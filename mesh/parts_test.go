package mesh_test

import (
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

func TestParts(t *testing.T) {
	t.Parallel()
	if got := sample().Parts().String(); got != "10 edges, 1 gateway, 1 external, 3 routes, 1 split, 2 allows" {
		t.Error(got)
	}
	one := &mesh.Config{Services: map[string]*mesh.Service{"web": {Split: map[string]mesh.Percent{"v1": 100, "v2": 0}}}}
	if got := one.Parts().String(); got != "" {
		t.Errorf("%q of a fleet that asks nothing of the mesh", got)
	}
}
