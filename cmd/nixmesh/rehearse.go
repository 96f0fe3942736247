package main

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// rehearse holds what every host's Envoy would be told against a real one, before
// anything is signed or sent. It is the one door to that: for a plan, a deploy and
// an apply. What Envoy would refuse ends the command (exit 3), with the line of the
// spec. Without an Envoy that is believed, the plan says so.
func (f *fleet) rehearse(ctx context.Context, d *deploy.Deployer, p *deploy.Plan, config *mesh.Config) error {
	note, err := f.tryOut(ctx, d.MeshFacts(ctx, p), config)
	if note != "" {
		p.Mesh.Notes = append(p.Mesh.Notes, note)
	}
	return err
}

// tryOut is rehearse for hosts with these facts. note says why no Envoy was asked.
func (f *fleet) tryOut(ctx context.Context, facts map[string]*hostfacts.Facts, config *mesh.Config) (note string, err error) {
	hosts := slices.DeleteFunc(slices.Sorted(maps.Keys(facts)), func(host string) bool { return facts[host].Mesh == nil })
	if len(hosts) == 0 {
		return "", nil
	}
	envoy, why, err := f.envoy(ctx)
	if err != nil {
		return "", err
	}
	refused := make([][]string, len(hosts))
	var g errgroup.Group
	g.SetLimit(max(runtime.NumCPU(), 2))
	for i, host := range hosts {
		g.Go(func() error {
			problems, err := xds.Rehearse(ctx, envoy, host, config, facts[host])
			for _, problem := range problems {
				refused[i] = append(refused[i], f.refusalText(host, problem))
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return "", fmt.Errorf("%w\nNext: NIXMESH_ENVOY=ENVOY names the Envoy to try it on, %s or newer", err, oldestEnvoy)
	}
	if lines := slices.Concat(refused...); len(lines) > 0 {
		slices.Sort(lines)
		return "", &exitError{code: exitInvalid, err: fmt.Errorf("Envoy would refuse what it is told; nothing was changed\n%s", strings.Join(slices.Compact(lines), "\n"))} //nolint:staticcheck // a name
	}
	if envoy == "" {
		return "what hosts' Envoys are told was not tried on an Envoy: " + why, nil
	}
	return "", nil
}

// refusalText is a problem with its place in the spec. Hosts that have the same
// one have it in other words only by their name, which comes last.
func (f *fleet) refusalText(host string, p xds.Problem) string {
	text := fmt.Sprintf("%s (on %s)", strings.TrimSpace(p.Text), host)
	if place := f.placeAbout(p.About); place != (spec.Place{}) {
		text = fmt.Sprintf("%s:%d: %s", place.File, place.Line, text)
	}
	return text
}

// placeAbout is where the spec tells what a resource is for.
func (f *fleet) placeAbout(about xds.About) spec.Place {
	switch {
	case about.Caller != "" && about.Edge != "":
		return f.upstreamPlace(about.Caller, about.Edge)
	case about.Gateway != "":
		return f.blockPlace(about.Gateway)
	case about.Service != "":
		return f.blockPlace(about.Service)
	case about.External != "":
		return f.blockPlace(about.External)
	}
	return spec.Place{}
}
