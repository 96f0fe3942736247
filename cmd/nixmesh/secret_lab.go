package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

// labFiles are the files that hosts of the lab see in the place of the fleet's, by
// the fleet's names. Outside the lab there are none.
func (f *fleet) labFiles() (map[string]string, error) {
	if f.lab == nil {
		return nil, nil
	}
	keys, err := f.lab.HostKeys()
	if err != nil {
		return nil, err
	}
	files, err := f.labSecrets(keys)
	if err != nil {
		return nil, err
	}
	certificates, err := f.labCertificates(keys)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, certificates)
	return files, nil
}

// labSecrets are the age files that stand in the lab for the fleet's, by the
// fleet's names: encrypted for the lab's hosts, with the clear text that
// lab.hcl gives or a random one. Encrypting gives other bytes each time, so a
// file is kept for as long as its text and its hosts are the same: a second
// deploy changes nothing. The agents' gossip key is one of them.
func (f *fleet) labSecrets(keys map[string]string) (map[string]string, error) {
	replaced := map[string]string{}
	var err error
	for _, file := range f.spec.AgeFiles() {
		var to []string
		for _, host := range file.Hosts {
			if key, ok := keys[host]; ok {
				to = append(to, key)
			}
		}
		if len(to) == 0 {
			continue // no host of the lab reads it
		}
		sealed := f.state("lab", "secrets", filepath.FromSlash(file.File))
		if replaced[file.File], err = labSecret(sealed, f.spec.LabSecrets[file.File], to); err != nil {
			return nil, fmt.Errorf("make %s for the lab: %w", file.File, err)
		}
	}
	if replaced[spec.GossipFile], err = f.labGossip(keys); err != nil {
		return nil, err
	}
	return replaced, nil
}

// labSecret makes one file, unless the one that is there is right. Beside it
// lie its text, where none is given, and what it was made of.
func labSecret(sealed, text string, to []string) (string, error) {
	if text == "" {
		random, err := kept(sealed+".text", func() ([]byte, error) { return []byte(rand.Text()), nil })
		if err != nil {
			return "", err
		}
		text = string(random)
	}
	slices.Sort(to)
	sum := sha256.New()
	for _, part := range append([]string{text}, to...) {
		fmt.Fprintf(sum, "%d:%s\n", len(part), part)
	}
	made := hex.EncodeToString(sum.Sum(nil))
	before, err := os.ReadFile(sealed + ".made-of")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Stat(sealed); err == nil && string(before) == made {
		return sealed, nil
	}
	if err := trust.SealFile(sealed, []byte(text), to); err != nil {
		return "", err
	}
	return sealed, os.WriteFile(sealed+".made-of", []byte(made), 0o600)
}
