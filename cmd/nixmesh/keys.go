package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/nix"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

// operatorKeys are the keys of the person who runs the command: which operator
// that is, the key that signs release records, the key that signs store paths.
type operatorKeys struct {
	fleet *fleet

	once   sync.Once
	op     *spec.Operator
	signer remote.Key
	err    error
}

// find looks for the operator whose signing key this machine holds: in the file
// of NIXMESH_SSH_KEY or of the ssh block, else in the SSH agent.
func (k *operatorKeys) find(ctx context.Context) error {
	k.once.Do(func() {
		var files []string
		switch {
		case k.fleet.op != nil:
			files = []string{k.fleet.op.SSHKeyFile}
		case k.fleet.getenv("NIXMESH_SSH_KEY") != "":
			files = []string{k.fleet.getenv("NIXMESH_SSH_KEY")}
		case k.fleet.spec.SSH.Key != "":
			files = []string{k.fleet.spec.SSH.Key}
		}
		keys, err := remote.Signers(ctx, files)
		if err != nil {
			k.err = fmt.Errorf("find your signing key: %w", err)
			return
		}
		for _, key := range keys {
			for _, op := range k.fleet.spec.Operators {
				if slices.ContainsFunc(op.Sign, func(line string) bool { return sameKey(line, key.AuthorizedKey()) }) {
					k.op, k.signer = op, key
					return
				}
			}
		}
		var have []string
		for _, key := range keys {
			have = append(have, key.Label())
		}
		k.err = fmt.Errorf("no operator of the fleet has a signing key that is here: %s\nadd yours to an operator block, or name its file in NIXMESH_SSH_KEY", strings.Join(have, ", "))
	})
	return k.err
}

// sameKey compares two authorized_keys lines without their comments.
func sameKey(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) >= 2 && len(y) >= 2 && x[0] == y[0] && x[1] == y[1]
}

// name is the operator's, or the login name where no key fits: reading needs no
// operator.
func (k *operatorKeys) name(ctx context.Context) string {
	if k.find(ctx) != nil {
		return loginName()
	}
	return k.op.Name
}

// sign makes the SSHSIG of a release record.
func (k *operatorKeys) sign(ctx context.Context, body []byte) (string, error) {
	return k.signFor(ctx, deploy.RecordNamespace, body)
}

// signFor makes an SSHSIG for a purpose.
func (k *operatorKeys) signFor(ctx context.Context, namespace string, body []byte) (string, error) {
	if err := k.find(ctx); err != nil {
		return "", err
	}
	return trust.Sign(k.signer, namespace, body)
}

// verify says which operator signed a release record.
func (k *operatorKeys) verify(body []byte, sig string) (string, error) {
	var all []string
	for _, op := range k.fleet.spec.Operators {
		all = append(all, op.Sign...)
	}
	line, err := trust.Verify(sig, deploy.RecordNamespace, body, all)
	if err != nil {
		return "", err
	}
	for _, op := range k.fleet.spec.Operators {
		if slices.Contains(op.Sign, line) {
			return op.Name, nil
		}
	}
	return "", trust.ErrNotSigned
}

// nixKeyFile is where the operator's nix key lies.
func (k *operatorKeys) nixKeyFile() (string, error) {
	if k.fleet.op != nil {
		return k.fleet.op.NixKeyFile, nil
	}
	if file := k.fleet.getenv("NIXMESH_NIX_KEY"); file != "" {
		return file, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find your nix key: %w", err)
	}
	return filepath.Join(dir, "nixmesh", k.fleet.spec.Name, "nix.key"), nil
}

// nixKey reads the key that signs store paths.
func (k *operatorKeys) nixKey() (trust.NixKey, string, error) {
	file, err := k.nixKeyFile()
	if err != nil {
		return trust.NixKey{}, "", err
	}
	key, err := trust.LoadNixKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("your nix key is not there: %s\nonly an operator with a nix_key can deploy; NIXMESH_NIX_KEY names another file", file)
	}
	return key, file, err
}

// signNix signs Nix's fingerprint of a path.
func (k *operatorKeys) signNix(i deploy.PathInfo) (string, error) {
	key, _, err := k.nixKey()
	if err != nil {
		return "", err
	}
	return nix.SignPath(key, nix.PathInfo{Path: i.Path, NarHash: i.NarHash, NarSize: i.NarSize, References: i.References}), nil
}
