package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// seed is the system that hosts are installed with, and the read-only folder
// with its closure in nix/store, registered in nix/var/nix/db.
type seed struct {
	Toplevel string
	Dir      string
}

// toplevelFile names the seed's toplevel in its folder.
const toplevelFile = "toplevel"

// seedFlake is the flake that a seed is built from.
const seedFlake = `{
  inputs.nixpkgs.url = %q;
  outputs = { nixpkgs, ... }: {
    toplevel = (nixpkgs.lib.nixosSystem {
      modules = [ %s ];
    }).config.system.build.toplevel;
  };
}
`

// offline says that nothing is fetched: the stand-in is all there is.
func (l *Lab) offline() bool { return l.nixpkgs == "" || strings.HasPrefix(l.nixpkgs, "path:") }

// isStandIn says whether a reference is a folder with just what is embedded
// as the stand-in.
func isStandIn(nixpkgs string) bool {
	path, ok := strings.CutPrefix(nixpkgs, "path:")
	if !ok {
		return false
	}
	own, err := fs.Sub(files, "nixpkgs")
	if err != nil {
		return false
	}
	ours, err := hashFiles(own)
	if err != nil {
		return false
	}
	theirs, err := hashFiles(os.DirFS(path))
	return err == nil && ours == theirs
}

// Sources unpacks the lab's Nix half into the cache and returns its folder;
// nixpkgs/ in it is the stand-in's flake.
func (l *Lab) Sources(ctx context.Context) (string, error) {
	name, err := hashFiles(files)
	if err != nil {
		return "", fmt.Errorf("read the lab's files: %w", err)
	}
	return l.cache.make(ctx, "src-"+name, func(_ context.Context, dir string) error {
		if err := copyFiles(files, dir); err != nil {
			return fmt.Errorf("unpack the lab's files: %w", err)
		}
		return nil
	})
}

// seed builds the hosts' first system, once for each nixpkgs, and lays its
// closure out as the layer that all hosts share.
func (l *Lab) seed(ctx context.Context, base string) (seed, error) {
	sources, err := l.Sources(ctx)
	if err != nil {
		return seed{}, err
	}
	nixpkgs := l.nixpkgs
	if nixpkgs == "" {
		nixpkgs = "path:" + filepath.Join(sources, "nixpkgs")
	}
	key, err := seedKey(base, sources, nixpkgs, l.sshPorts())
	if err != nil {
		return seed{}, err
	}
	dir, err := l.cache.make(ctx, "seed-"+key, func(ctx context.Context, dir string) error {
		l.log("first system of the hosts, from " + l.Nixpkgs())
		return l.buildSeed(ctx, base, sources, nixpkgs, dir)
	})
	if err != nil {
		return seed{}, err
	}
	toplevel, err := os.ReadFile(filepath.Join(dir, toplevelFile))
	if err != nil {
		return seed{}, fmt.Errorf("read the hosts' first system: %w", err)
	}
	return seed{Toplevel: string(toplevel), Dir: filepath.Join(dir, "root")}, nil
}

// seedKey changes with everything that a seed is made of. A nixpkgs of a local
// folder counts with its contents, any other by its name.
func seedKey(base, sources, nixpkgs, sshPorts string) (string, error) {
	contents := nixpkgs
	if path, ok := strings.CutPrefix(nixpkgs, "path:"); ok {
		hash, err := hashFiles(os.DirFS(path))
		if err != nil {
			return "", fmt.Errorf("read nixpkgs: %w", err)
		}
		contents += " " + hash
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{filepath.Base(base), filepath.Base(sources), contents, sshPorts}, "\n")))
	return hex.EncodeToString(sum[:6]), nil
}

// sshPorts are those on which the hosts' first system listens, as a Nix list:
// one seed serves all hosts, so it takes what any of them is reached at.
func (l *Lab) sshPorts() string {
	ports := []int{22}
	for _, h := range l.hosts {
		ports = append(ports, h.sshPort())
	}
	slices.Sort(ports)
	var b strings.Builder
	for _, port := range slices.Compact(ports) {
		fmt.Fprintf(&b, "%d ", port)
	}
	return "[ " + b.String() + "]"
}

// buildSeed fills a folder of the cache: root/nix and the toplevel's path.
func (l *Lab) buildSeed(ctx context.Context, base, sources, nixpkgs, dir string) error {
	flake := filepath.Join(dir, "flake")
	var modules []string
	for _, name := range []string{"module.nix", "seed.nix"} {
		text, err := os.ReadFile(filepath.Join(sources, name))
		if err != nil {
			return fmt.Errorf("write seed: %w", err)
		}
		if err := writeFile(filepath.Join(flake, name), string(text), 0o644); err != nil {
			return fmt.Errorf("write seed: %w", err)
		}
		modules = append(modules, "./"+name)
	}
	modules = append(modules, "{ services.openssh.ports = "+l.sshPorts()+"; }")
	if err := writeFile(filepath.Join(flake, "flake.nix"), fmt.Sprintf(seedFlake, nixpkgs, strings.Join(modules, " ")), 0o644); err != nil {
		return fmt.Errorf("write seed: %w", err)
	}
	nix := l.view(base)
	out, err := output(nix.command(ctx, nil, "nix", "build", "--no-link", "--print-out-paths", "--log-format", "raw", "path:"+flake+"#toplevel"))
	if err != nil {
		return fmt.Errorf("build the hosts' first system: %w", err)
	}
	toplevel := strings.TrimSpace(out)
	root := filepath.Join(dir, "root")
	if _, err := output(nix.command(ctx, nil, "nix", "copy", "--no-check-sigs", "--to", "local?root="+root, toplevel)); err != nil {
		return fmt.Errorf("lay out the hosts' first system: %w", err)
	}
	return writeFile(filepath.Join(dir, toplevelFile), toplevel, 0o644)
}

// output runs a command; what it said on stderr goes into the error.
func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
