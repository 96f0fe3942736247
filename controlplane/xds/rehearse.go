package xds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// rehearsal bounds one run of Envoy, which takes a tenth of a second.
const rehearsal = 20 * time.Second

// Rehearse holds what a host's Envoy will be told against that Envoy's own eyes
// (`--mode validate`), and against what those pass over, before anybody acts on
// it. Instances are taken to run wherever the configuration places them;
// certificates and keys are made up. envoy is the program, "" = only what needs
// none. Problems are those that Envoy would refuse; the error is that nothing
// could be told.
func Rehearse(ctx context.Context, envoy, host string, config *mesh.Config, facts *hostfacts.Facts) ([]Problem, error) {
	var names []string
	for _, g := range config.Gateways {
		names = slices.Concat(names, routedHosts(g), certifiedHosts(g))
	}
	file, err := madeUpFor("", nil, names)
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", host, err)
	}
	out := Build(&Input{
		Host: host, Config: config, Facts: facts,
		Leaf:      func(string) (Leaf, bool) { return Leaf{}, false },
		Endpoints: func(service string) []catalog.Endpoint { return everywhere(config, service) },
		File:      func(string) ([]byte, error) { return slices.Concat(file.Chain, file.Key), nil }, // what is read of it is in it
	})
	found := References(out)
	for _, p := range out.Problems {
		if p.Level == Missing {
			found = append(found, p)
		}
	}
	if envoy == "" || len(found) > 0 {
		return found, nil
	}
	text, err := Static(out)
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", host, err)
	}
	said, err := askEnvoy(ctx, envoy, text)
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", host, err)
	}
	if said == "" {
		return nil, nil
	}
	about, err := culprit(ctx, envoy, out, said)
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", host, err)
	}
	return []Problem{{About: about, Text: said, Level: Missing}}, nil
}

// culprit finds what an error of Envoy is about: the resource that it names, the
// longest name first; else, as it seldom names one, the one without whose fellows
// it says the same. Halves are tried, so that a host of a thousand edges costs ten
// runs.
func culprit(ctx context.Context, envoy string, out *Output, said string) (About, error) {
	byLength := slices.SortedFunc(slices.Values(out.Resources), func(a, b *Resource) int { return len(b.Name) - len(a.Name) })
	for _, r := range byLength {
		if r.About != (About{}) && strings.Contains(said, r.Name) {
			return r.About, nil
		}
	}
	for _, t := range []Type{Listener, Cluster} {
		suspects := slices.DeleteFunc(slices.Clone(out.Resources), func(r *Resource) bool { return r.Type != t || r.About == (About{}) })
		for len(suspects) > 0 {
			half := suspects[:(len(suspects)+1)/2]
			text, err := Static(without(out, t, half))
			if err != nil {
				return About{}, err
			}
			again, err := askEnvoy(ctx, envoy, text)
			switch {
			case err != nil:
				return About{}, err
			case again == said && len(half) == 1:
				return half[0].About, nil
			case again == said:
				suspects = half
			default:
				suspects = suspects[len(half):]
			}
		}
	}
	return About{}, nil
}

// without leaves out the fellows of those of a type that are kept: the other
// listeners, and for clusters all listeners, routes and other clusters.
func without(out *Output, t Type, kept []*Resource) *Output {
	part := &Output{}
	for _, r := range out.Resources {
		fellow := r.Type == t || r.Type == Listener || r.Type == Route && t == Cluster
		if !fellow || slices.Contains(kept, r) {
			part.Resources = append(part.Resources, r)
		}
	}
	return part
}

// everywhere are the endpoints of a service that runs as it is placed.
func everywhere(config *mesh.Config, service string) (list []catalog.Endpoint) {
	s := config.Services[service]
	if s == nil {
		return nil
	}
	for _, v := range s.Versions {
		for _, host := range v.Hosts {
			h := config.Hosts[host]
			if h == nil {
				continue
			}
			list = append(list, catalog.Endpoint{
				Service: service, Version: v.Name, Host: host, Address: h.Address, Port: MeshPort, Zone: h.Zone,
				State: catalog.StateHealthy, Ready: 1, Copies: 1,
			})
		}
	}
	return list
}

// askEnvoy runs Envoy over a configuration: "" is that it would take it.
func askEnvoy(ctx context.Context, envoy string, config []byte) (said string, err error) {
	dir, err := os.MkdirTemp("", "nixmesh-envoy-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // best effort: a temporary folder
	path := filepath.Join(dir, "envoy.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, rehearsal)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, envoy, "--mode", "validate", "--config-path", path, "--log-level", "error", "--disable-hot-restart", "--concurrency", "1")
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.WaitDelay = &out, &out, dir, time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("run %s: %w", envoy, context.Cause(ctx))
	case !errors.As(err, &exit) || !exit.Exited():
		return "", fmt.Errorf("run %s: %w", envoy, err)
	}
	return complaint(out.String()), nil
}

// complaint is what Envoy says against a configuration, without the rest of its
// output: it may print all of the configuration, and does so in many lines.
func complaint(output string) string {
	const marker = "error initializing configuration "
	for line := range strings.Lines(output) {
		if _, text, ok := strings.Cut(line, marker); ok {
			if _, after, ok := strings.Cut(text, "': "); ok {
				text = after
			}
			return strings.ToValidUTF8(text[:min(len(text), 600)], "")
		}
	}
	return "Envoy refuses the configuration, and does not say why"
}
