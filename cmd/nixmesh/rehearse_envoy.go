package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/nixmesh/nixmesh/lab"
)

// The oldest Envoy that understands what hosts are told; their module refuses older
// packages, too. What an older one says is not believed.
const (
	oldestMinor = 37
	oldestEnvoy = "1.37"
)

// envoyTells bounds `envoy --version`, which takes 0.1 s.
const envoyTells = 10 * time.Second

// envoy is the Envoy at hand: NIXMESH_ENVOY, else that of PATH, and with --lab that
// of the lab. One that is named and does not do is an error; one that only is on
// PATH is passed over, and why says so.
func (f *fleet) envoy(ctx context.Context) (path, why string, err error) {
	named := f.getenv("NIXMESH_ENVOY")
	switch {
	case f.lab != nil:
		if path, err = lab.Envoy(ctx, "", func(string) {}); err == nil {
			err = believable(ctx, path)
		}
		if err != nil {
			return "", "", fmt.Errorf("the lab's Envoy: %w; NIXMESH_ENVOY may name one of %s or newer", err, oldestEnvoy)
		}
		return path, "", nil
	case named != "":
		if path, err = filepath.Abs(named); err == nil {
			err = believable(ctx, path)
		}
		if err != nil {
			return "", "", fmt.Errorf("NIXMESH_ENVOY: %w; let it name an Envoy of %s or newer, or none", err, oldestEnvoy)
		}
		return path, "", nil
	}
	if path, err = exec.LookPath("envoy"); err != nil {
		return "", "none on PATH, and NIXMESH_ENVOY names none", nil //nolint:nilerr // to have none is no error
	}
	if err := believable(ctx, path); err != nil {
		return "", fmt.Sprintf("%v; NIXMESH_ENVOY may name one of %s or newer", err, oldestEnvoy), nil
	}
	return path, "", nil
}

// believable says why what an Envoy makes of a configuration tells nothing of hosts,
// nil where it does.
func believable(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, envoyTells, errors.New("no answer in time"))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("run %s --version: %w", path, err)
	}
	// "envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL"
	m := regexp.MustCompile(`/([0-9]{1,4})\.([0-9]{1,4})\.[0-9]`).FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("%s does not tell its version", path)
	}
	major, _ := strconv.Atoi(string(m[1])) // they are digits
	minor, _ := strconv.Atoi(string(m[2]))
	if major < 1 || major == 1 && minor < oldestMinor {
		return fmt.Errorf("%s is Envoy %d.%d, and hosts have %s or newer", path, major, minor, oldestEnvoy)
	}
	return nil
}
