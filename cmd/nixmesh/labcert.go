package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// labAnswers are the externals that the lab answers for: its hosts trust its CA
// in them. Outside the lab there are none.
func labAnswers(f *spec.Fleet) []string {
	if !f.Lab {
		return nil
	}
	var names []string
	for i, x := range labExternals(f) {
		if x.Answered() && len(x.Addresses) == len(f.Externals[i].Hosts) {
			names = append(names, x.Name)
		}
	}
	return names
}

// labCertificates are the files that stand for what the lab's CA issued to
// gateways, by the names that compile gives them. A certificate is kept until it
// is old or for other names, so that a second deploy changes nothing.
func (f *fleet) labCertificates(hostKeys map[string]string) (map[string]string, error) {
	ca, err := f.lab.CA(f.now())
	if err != nil {
		return nil, err
	}
	files := map[string]string{compile.LabRoots: f.lab.CAPath()}
	for _, g := range f.spec.Gateways {
		for _, c := range labCertified(g) {
			chain, key := compile.LabCertificate(g.Name, c.host)
			certificate, sealed := f.state("lab", filepath.FromSlash(chain)), f.state("lab", filepath.FromSlash(key))
			text, err := labCertificate(ca, certificate, c.names, f.now())
			if err != nil {
				return nil, fmt.Errorf("make a certificate for gateway %s: %w", g.Name, err)
			}
			var to []string
			for _, host := range g.On {
				if k, ok := hostKeys[host]; ok {
					to = append(to, k)
				}
			}
			if len(to) == 0 {
				continue // no host of the lab has it
			}
			if files[key], err = labSecret(sealed, text, to); err != nil {
				return nil, fmt.Errorf("make a certificate for gateway %s: %w", g.Name, err)
			}
			files[chain] = certificate
		}
	}
	return files, nil
}

// certifiedNames are the names of one certificate.
type certifiedNames struct {
	host  string // "" = the gateway's own
	names []string
}

// labCertified are the certificates of a gateway that are the lab's.
func labCertified(g *spec.Gateway) []certifiedNames {
	var all []certifiedNames
	if g.Cert == mesh.CertLabCA {
		own := certifiedNames{}
		for _, r := range g.Routes {
			other := slices.ContainsFunc(g.TLS, func(t *spec.GatewayTLS) bool { return t.Host == r.Host })
			if !other && !slices.Contains(own.names, r.Host) {
				own.names = append(own.names, r.Host)
			}
		}
		all = append(all, own)
	}
	for _, t := range g.TLS {
		if t.Cert == mesh.CertLabCA {
			all = append(all, certifiedNames{t.Host, []string{t.Host}})
		}
	}
	return all
}

// labCertificate reads a certificate's key, and makes both where they are not
// there or not right any more.
func labCertificate(ca *lab.CA, file string, names []string, now time.Time) (key string, err error) {
	kept := file + ".key"
	chain, chainErr := os.ReadFile(file)
	text, keyErr := os.ReadFile(kept)
	if chainErr == nil && keyErr == nil && !ca.Renews(chain, names, now) {
		return string(text), nil
	}
	chain, text, err = ca.Issue(names, now)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(kept, text, 0o600); err != nil {
		return "", err
	}
	return string(text), os.WriteFile(file, chain, 0o644)
}
