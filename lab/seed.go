package lab

import (
	"context"
)

// seed is the system that hosts are installed with, and the read-only folder
// with its closure in nix/store, registered in nix/var/nix/db.
type seed struct {
	Toplevel string
	Dir      string
}

func (l *Lab) offline() bool { return l.nixpkgs == "" }

func (l *Lab) seed(ctx context.Context, base string) (seed, error) {
	_ = ctx
	_ = base
	return seed{"/nix/store/fake-toplevel", "/var/tmp/nixmesh-lab-fake"}, nil
}
