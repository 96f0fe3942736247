package unseal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/trust"
)

// Run brings the folder of the host's secrets to what a manifest says, at
// once: what is not in the manifest is gone afterwards. A secret that cannot be
// opened is left out, so that exactly the units that need it do not start; it
// is an error, which joins one for each. mount is hostfacts.SecretsMount.
func Run(manifest, mount string) error {
	m, err := load(manifest)
	if err != nil {
		return err
	}
	s, err := newSet(mount)
	if err != nil {
		return err
	}
	failed := s.unseal(m)
	if err := s.publish(); err != nil {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// load reads and checks a manifest.
func load(file string) (*hostfacts.Secrets, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read list of secrets: %w", err)
	}
	var m hostfacts.Secrets
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read list of secrets %s: %w", file, err)
	}
	if m.Schema != hostfacts.SecretsSchema {
		return nil, fmt.Errorf("read list of secrets %s: its schema is %q, this nixmesh knows %q", file, m.Schema, hostfacts.SecretsSchema)
	}
	seen := map[string]bool{}
	check := func(name string) error {
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || seen[name] {
			return fmt.Errorf("read list of secrets %s: %q is twice there, or no path below the folder of secrets", file, name)
		}
		seen[name] = true
		return nil
	}
	for _, s := range m.Secrets {
		if err := check(s.File); err != nil {
			return nil, err
		}
	}
	for _, e := range m.Environment {
		if err := check(e.File); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// unseal fills a set. Each error names one secret or one variable.
func (s *set) unseal(m *hostfacts.Secrets) []error {
	failed := s.openAll(m)
	for _, e := range m.Environment {
		if err := s.environment(e); err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// openAll decrypts the age files.
func (s *set) openAll(m *hostfacts.Secrets) []error {
	if len(m.Secrets) == 0 {
		return nil
	}
	key, err := trust.LoadAgeIdentity(m.Identity, nil)
	if err != nil {
		return []error{fmt.Errorf("no secret can be opened without the host's key: %w", err)}
	}
	var failed []error
	for _, secret := range m.Secrets {
		if err := s.open(secret, key); err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// open decrypts one secret into the set.
func (s *set) open(secret hostfacts.Secret, key trust.AgeIdentity) error {
	instance, name := filepath.Split(secret.File)
	what := fmt.Sprintf("secret %s of %s (%s)", name, strings.TrimSuffix(instance, "/"), secret.Source)
	text, err := trust.OpenFile(secret.Ciphertext, key)
	if errors.Is(err, trust.ErrOtherRecipients) {
		return fmt.Errorf("%s: it is not encrypted for this host's key; on the operator's machine run: nixmesh secret rekey", what)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if secret.Public != "" {
		public, err := readBounded(secret.Public, trust.MaxSecret)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		text = slices.Concat(public, []byte("\n"), text)
	}
	if err := s.write(secret.File, text, secret.Reader); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
