package hostfacts

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"strings"
)

// Identity is the part of host.json that keeps its meaning in every schema: a
// host's helper compares it with that of a toplevel that may be newer.
type Identity struct {
	Schema  string  `json:"schema"`
	Fleet   string  `json:"fleet"`
	Host    string  `json:"host"`
	System  string  `json:"system"`
	Nixmesh Nixmesh `json:"nixmesh"`
}

// Load reads and checks the facts at a path: Path, or Path below a toplevel.
// The error wraps fs.ErrNotExist where there is no such file.
func Load(file string) (*Facts, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read host facts: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("read host facts %s: %w", file, err)
	}
	return f, nil
}

// LoadIdentity reads whose facts a file holds, of whatever schema they are.
func LoadIdentity(file string) (*Identity, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read host facts: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return nil, fmt.Errorf("read host facts %s: %w", file, err)
	}
	if !strings.HasPrefix(id.Schema, "nixmesh.host/") || id.Fleet == "" || id.Host == "" {
		return nil, fmt.Errorf("read host facts %s: it names no fleet and host, so nixmesh did not write it", file)
	}
	return &id, nil
}

// Parse reads and checks the bytes of host.json. Fields that this version
// does not know are passed over; another schema is refused.
func Parse(b []byte) (*Facts, error) {
	var head struct {
		Schema  string  `json:"schema"`
		Nixmesh Nixmesh `json:"nixmesh"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("not JSON of nixmesh: %w", err)
	}
	if head.Schema != Schema {
		if head.Schema == "" {
			return nil, errors.New("it has no schema, so nixmesh did not write it")
		}
		return nil, fmt.Errorf("its schema is %q, written by nixmesh %s, and this nixmesh reads %q; use that version or a newer one",
			head.Schema, orUnknown(head.Nixmesh.Version), Schema)
	}
	var f Facts
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("not JSON of schema %s: %w", Schema, err)
	}
	if err := f.validate(); err != nil {
		return nil, err
	}
	return &f, nil
}

func orUnknown(version string) string {
	if version == "" {
		return "of unknown version"
	}
	return version
}

// validate checks what the code on the host relies on.
func (f *Facts) validate() error {
	var errs []error
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	demand(f.Fleet != "", "fleet is empty")
	demand(f.Host != "", "host is empty")
	demand(f.Nixmesh.Protocol >= 1, "nixmesh.protocol is %d, want at least 1", f.Nixmesh.Protocol)
	demand(path.IsAbs(f.Nixmesh.Binary), "nixmesh.binary %q is not an absolute path", f.Nixmesh.Binary)
	for _, u := range f.Units {
		demand(u.Name != "" && !strings.ContainsAny(u.Name, "/ \t\n"), "unit name %q is malformed", u.Name)
	}
	demand(f.Rollout.Confirm > 0, "rollout.confirm is %s, want more than 0", f.Rollout.Confirm.D())
	demand(f.Rollout.Settle >= 0, "rollout.settle is negative")
	demand(f.Rollout.ActivateTimeout > 0, "rollout.activate_timeout is %s, want more than 0", f.Rollout.ActivateTimeout.D())
	demand(f.Rollout.LastResort == "reboot" || f.Rollout.LastResort == "hold", "rollout.last_resort %q is neither reboot nor hold", f.Rollout.LastResort)

	seen := map[string]bool{}
	for _, c := range f.Checks {
		demand(!seen[c.Name], "check %q is there twice", c.Name)
		seen[c.Name] = true
		if err := c.validate(); err != nil {
			errs = append(errs, fmt.Errorf("check %q: %w", c.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Check) validate() error {
	switch c.Kind {
	case CheckHTTP, CheckTCP, CheckGRPC:
		if _, _, err := net.SplitHostPort(c.Address); err != nil {
			return fmt.Errorf("address %q is not HOST:PORT", c.Address)
		}
		if c.Kind == CheckHTTP && !strings.HasPrefix(c.Path, "/") {
			return fmt.Errorf("path %q does not begin with /", c.Path)
		}
	case CheckExec:
		if len(c.Exec) == 0 || !path.IsAbs(c.Exec[0]) {
			return errors.New("exec names no program by its absolute path")
		}
	default:
		return fmt.Errorf("kind %q is none of http, tcp, grpc, exec", c.Kind)
	}
	switch {
	case c.Name == "":
		return errors.New("it has no name")
	case c.User == "":
		return errors.New("it names no user to run as")
	case c.Timeout <= 0:
		return fmt.Errorf("timeout is %s, want more than 0", c.Timeout.D())
	case c.Rise < 1 || c.Fall < 1:
		return fmt.Errorf("rise %d and fall %d must be at least 1", c.Rise, c.Fall)
	}
	return nil
}
