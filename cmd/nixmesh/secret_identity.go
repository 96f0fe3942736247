package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/trust"
)

// identityHelp is the part of a help page that says which keys are tried.
const identityHelp = `The key that opens the file is that of --identity: an age identity (age-keygen) or an
ed25519 SSH key, whose passphrase is asked for. Without it those of these that exist are
tried: ~/.config/age, ~/.config/age/keys.txt, the SSH key of NIXMESH_SSH_KEY or of the ssh
block, ~/.ssh/id_ed25519. age cannot use an SSH agent.`

// identities reads the keys that may open the fleet's secrets: the one that was
// named, else those that lie where such keys lie.
func (f *fleet) identities(named string) ([]trust.AgeIdentity, error) {
	if named != "" {
		id, err := trust.LoadAgeIdentity(named, f.passphrase)
		if err != nil {
			return nil, err
		}
		return []trust.AgeIdentity{id}, nil
	}
	files, err := f.identityFiles()
	if err != nil {
		return nil, err
	}
	var all []trust.AgeIdentity
	var failed []error
	for _, file := range files {
		id, err := trust.LoadAgeIdentity(file, f.passphrase)
		switch {
		case err == nil:
			all = append(all, id)
		case !errors.Is(err, fs.ErrNotExist):
			failed = append(failed, err)
		}
	}
	if len(all) == 0 {
		return nil, errors.Join(append(failed, fmt.Errorf("no key to open secrets with: looked for %s\nNext: the same with --identity FILE", strings.Join(files, ", ")))...)
	}
	return all, nil
}

// identityFiles are the places where an operator's key may lie.
func (f *fleet) identityFiles() ([]string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("find your key: %w", err)
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return nil, fmt.Errorf("find your key: %w", err)
	}
	files := []string{
		filepath.Join(config, "age"), filepath.Join(config, "age", "keys.txt"),
		f.getenv("NIXMESH_SSH_KEY"), f.spec.SSH.Key, filepath.Join(home, ".ssh", "id_ed25519"),
	}
	return slices.DeleteFunc(files, func(file string) bool {
		info, err := os.Stat(file)
		return file == "" || err == nil && info.IsDir()
	}), nil
}

// passphrase asks for the passphrase of an SSH key.
func (a *app) passphrase(file string) ([]byte, error) {
	text, err := term.Hidden(a.stdin, a.stderr, "Passphrase of "+file)
	if errors.Is(err, term.ErrNoTerminal) {
		return nil, fmt.Errorf("%s has a passphrase, and %w", file, err)
	}
	return text, err
}

// open decrypts one of the fleet's files. It says what to do where no key fits.
func (f *fleet) open(file string, identities []trust.AgeIdentity) ([]byte, error) {
	text, err := trust.OpenFile(f.path(file), identities...)
	if errors.Is(err, trust.ErrOtherRecipients) {
		var names []string
		for _, id := range identities {
			names = append(names, id.File)
		}
		return nil, fmt.Errorf("%s is encrypted for other keys than %s; another operator can run this, or set it anew: nixmesh secret set %s", file, strings.Join(names, ", "), file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return text, nil
}
