package compile

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/spec"
)

// hostCompiler writes the module of one host.
type hostCompiler struct {
	fleet   *spec.Fleet
	lock    *spec.Lock
	options Options
	index   *fleetIndex
	host    *spec.Host

	placements  []placement // of this host
	definitions list        // of *module
	files       []string    // of the fleet's folder, for certificates
}

// hostModule is the whole of hosts/<name>/host.nix: a function of the flake's
// inputs.
type hostModule struct {
	host        string
	fleetFiles  bool // some definition names a file of the fleet's folder
	definitions list
}

// module collects the definitions in the order host, overlays, operators,
// gateways, certificates, names, services.
func (c *hostCompiler) module() (hostModule, error) {
	c.hostOptions()
	c.overlays()
	c.operators()
	c.imports(c.host.Imports)
	c.nixos(c.host.Nixos, c.host.NixosPlace, c.host.Place)
	c.gateways()
	c.certificates()
	c.names()
	for _, p := range c.placements {
		if err := c.service(p); err != nil {
			return hostModule{}, err
		}
	}
	return hostModule{host: c.host.Name, fleetFiles: len(c.roots()) > 0, definitions: c.definitions}, nil
}

// define adds one definition. A place that the spec left out is that of the
// block around it.
func (c *hostCompiler) define(m *module, around spec.Place) {
	if m.place.File == "" {
		m.place = around
	}
	c.definitions = append(c.definitions, m)
}

func (c *hostCompiler) hostOptions() {
	f, h := c.fleet, c.host
	config := attrs{bind("networking.hostName", str(h.Name))}
	if h.Config == "" {
		config = append(config, bind("nixpkgs.hostPlatform", str(h.System)))
	}
	own := attrs{
		bind("enable", raw("true")),
		bind("fleet", str(f.Name)),
		bind("host", str(h.Name)),
		bind("place", placeText(h.Place)),
		bind("user", str(h.SSH.User)),
		bind("address", str(h.Address)),
		bind("rollout", c.rollout()),
	}
	if from := f.Telemetry.MetricsFrom; len(from) > 0 {
		own = append(own, bind("metricsFrom", strs(from)))
	}
	own = append(own, c.agent()...)
	c.define(&module{place: h.Place, config: append(config, bind("services.nixmesh", own))}, f.Place)
}

// rollout are the times of this host's switch: the longest of the fleet's and
// its services'.
func (c *hostCompiler) rollout() attrs {
	r := c.fleet.Rollout
	for _, p := range c.placements {
		r.Confirm = max(r.Confirm, p.service.Rollout.Confirm)
		r.Settle = max(r.Settle, p.service.Rollout.Settle)
	}
	return attrs{
		bind("confirm", duration(r.Confirm)),
		bind("settle", duration(r.Settle)),
		bind("activateTimeout", duration(r.ActivateTimeout)),
		bind("lastResort", str(r.LastResort)),
	}
}

// overlays apply to the fleet's nixpkgs; a configuration that is extended has
// its own.
func (c *hostCompiler) overlays() {
	if c.host.Config != "" || len(c.fleet.Overlays) == 0 {
		return
	}
	l := list{}
	for _, o := range c.fleet.Overlays {
		l = append(l, raw("(import "+fleetFile(o)+")"))
	}
	c.define(&module{
		place:  c.fleet.OverlayPlace,
		config: attrs{bind("nixpkgs.overlays", l)},
	}, c.fleet.Place)
}

func (c *hostCompiler) operators() {
	for _, o := range c.fleet.Operators {
		a := attrs{bind("ssh", strs(o.SSH)), bind("sign", strs(o.Sign))}
		if o.NixKey != "" {
			a = append(a, bind("nixKey", str(o.NixKey)))
		}
		c.define(&module{
			place:  o.Place,
			config: attrs{bind(nixPath("services", "nixmesh", "operators", o.Name), a)},
		}, c.fleet.Place)
	}
}

// imports are modules of the fleet's folder or of a flake.
func (c *hostCompiler) imports(imports []spec.Import) {
	for _, i := range imports {
		var e expr
		if i.Path != "" {
			e = raw(fleetFile(i.Path))
		} else {
			e = throwing{
				value:   "inputs." + nixName(i.Input) + "." + nixPath(splitPath(i.Attr)...),
				place:   i.Place,
				message: fmt.Sprintf("flake %q has no %s; see what it has with `nix flake show %s`", i.Input, i.Attr, c.fleet.Inputs[i.Input]),
			}
		}
		c.define(&module{place: i.Place, imports: list{e}}, c.host.Place)
	}
}

// nixos is the free-form map of options: one definition for each key, so that
// two keys of one option meet by Nix's rules.
func (c *hostCompiler) nixos(options map[string]any, place, around spec.Place) {
	for _, key := range slices.Sorted(maps.Keys(options)) {
		config := attrs{bind(nixPath(splitPath(key)...), nixValue(options[key]))}
		c.define(&module{place: place, config: config}, around)
	}
}

func duration(d time.Duration) expr { return str(d.String()) }

// fleetFile is a file of the fleet's folder, as the let of printModule has it.
func fleetFile(path string) string { return "(fleet + " + nixString("/"+path) + ")" }
