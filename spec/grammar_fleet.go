package spec

import "github.com/nixmesh/nixmesh/trust"

func sshSchema(doc string) *blockSchema {
	return of("ssh", "", doc,
		arg("user", typeText, "The login user; it may call the host's helper by one sudo rule and nothing else.").or(`"deploy"`),
		arg("port", typeInt, "The port of sshd.").or("22").within(1, 65535),
		arg("key", typeFile, "A file with the private key. It may lie anywhere (`~` is your home) and stays there.").unset("the SSH agent").eg(`"~/.ssh/id_ed25519"`),
		arg("jump", typeText, "A host to go through: user@host:port.").eg(`"anna@bastion.example:22"`),
	)
}

func fleetSchema() *blockSchema {
	return of("fleet", "NAME", "The whole: what it is built from and how it is rolled out. It stands once, in `nixmesh.hcl`.",
		arg("nixpkgs", typeText, "The flake reference that every host is built from; pinned in `flake.lock`.").need(`"github:NixOS/nixpkgs/nixos-26.05"`),
		arg("inputs", typeTextMap, "More flakes, used as `NAME#…`; pinned in `flake.lock`.").or(`{}`).eg(`{ shop = "github:acme/shop" }`),
		arg("overlays", typeFiles, "Nix overlays on nixpkgs.").or(`[]`).eg(`["./packages.nix"]`),
		arg("nixmesh", typeText, "The versions of nixmesh that may act on this fleet; another one refuses (exit 6).").unset("any").eg(`"0.x"`),
		arg("domain", typeText, "The last part of mesh names: api.mesh.").or(`"mesh"`),
		oneOf("authorization", "`declared`: an `upstream` is the permission to call. `explicit`: the callee's `allow` is needed, too.", "declared", "explicit").or(`"declared"`),
		arg("keep_releases", typeInt, "Releases whose systems stay on the hosts, ready to be rolled back to.").or("5").within(1, 1000),
	).repeated().holds( // NM0003 has its own words
		sshSchema("How hosts are reached."),
		of("rollout", "", "The way of a deploy through the hosts.",
			arg("order", typeSelectors, "The waves, one selector each. A host in two waves goes in the first; every host has to be in one.").or(`[]`).unset("one wave of all hosts").eg(`["@db", "@app", "*"]`),
			arg("parallel", typeCount, "Hosts at once within a wave, or a share of the wave.").or("4"),
			arg("confirm", typeDuration, "A deadline from the end of activation: units and checks have to hold for `settle` within it, else the host reverts.").or(`"90s"`).within(1, 0),
			arg("settle", typeDuration, "How long units and checks have to hold in a row.").or(`"3s"`),
			arg("activate_timeout", typeDuration, "The longest an activation may take before the host reverts.").or(`"10m"`).within(1, 0),
			arg("soak", typeDuration, "The wait between waves.").or(`"0s"`),
			oneOf("on_fail", "What a failed host does to the rest: `stop` keeps what committed, `revert-wave` and `revert-release` undo it.", "stop", "revert-wave", "revert-release").or(`"stop"`),
			arg("max_failed", typeInt, "Failed hosts over the release before `on_fail` acts.").or("0").within(0, 1<<31-1),
			oneOf("last_resort", "What a host does when even the revert hangs.", "reboot", "hold").or(`"reboot"`),
		).holds(
			of("gate", "", "How much worse the mesh's traffic may be after a wave than before.",
				arg("window", typeDuration, "How long the traffic is looked at.").or(`"30s"`).within(1, 0),
				arg("min_requests", typeInt, "With fewer requests in the window, the gate says nothing.").or("50").within(1, 1<<31-1),
				arg("errors", typePercent, "Percentage points that the share of errors may rise.").or("1").within(0, 100),
				arg("p99", typePercent, "Percent that the 99th percentile of the latency may rise.").or("50").within(0, 10000),
			),
		),
		of("ca", "", "Lifetimes of the mesh's certificates.",
			arg("leaf_ttl", typeDuration, "A service's certificate; renewed at half its life.").or(`"72h"`).within(trust.MinLeafTTL.Seconds(), trust.MaxLeafTTL.Seconds()),
			// Half of its life, when it is renewed, comes before a deploy calls it expiring.
			arg("intermediate_ttl", typeDuration, "An authority's certificate; renewed at half its life.").or(`"365d"`).within((2*trust.RefuseCA).Seconds(), trust.RootTTL.Seconds()),
		),
		of("telemetry", "", "What the mesh tells of its calls.",
			oneOf("access_log", "Which requests are logged to the journal. A change ends the open TCP connections, WebSockets and streams of the whole fleet, once.", "off", "errors", "all").or(`"errors"`),
			arg("otlp", typeText, "host:port that takes traces.").unset("no traces").eg(`"10.0.0.9:4317"`),
			arg("sample", typePercent, "Share of the requests that are traced; only with `otlp`.").or("1").within(0, 100),
			arg("metrics_from", typeTexts, "Ranges that may scrape the agents on port 7948.").or(`[]`).unset("the Unix socket only").eg(`["10.0.0.0/24"]`),
		),
	)
}

func operatorSchema() *blockSchema {
	return of("operator", "NAME", "A person, or a CI, who may act on the fleet. An operator's SSH key together with that operator's nix key is root on the fleet.",
		arg("ssh", typeTexts, "Public keys for the login: ed25519, or of hardware (sk-).").need(`["ssh-ed25519 AAAA… anna"]`),
		arg("sign", typeTexts, "Public keys that sign mesh configurations, overrides and releases.").unset("the keys of `ssh`").eg(`["ssh-ed25519 AAAA… anna"]`),
		arg("nix_key", typeText, "The public key that signs store paths.").unset("this operator cannot deploy").eg(`"anna-1:BASE64"`),
		arg("age", typeText, "The recipient, age or ssh-ed25519, that secrets are encrypted to.").eg(`"age1…"`),
		arg("ca", typeBool, "Whether the operator may open the CA's root; needs `age`.").or("false"),
		arg("access", typeTexts, "Services that `nixmesh mesh forward` may reach for this operator.").or(`[]`).eg(`["postgres"]`),
	).repeated()
}

func hostSchema() *blockSchema {
	return of("host", "NAME", "One machine. nixmesh configures no disk, boot loader, interface or `stateVersion`: those come from `imports` or `config`.",
		arg("address", typeText, "Where SSH reaches it, and its mesh address: an IPv4 or IPv6 literal. Nothing is configured from it.").need(`"10.0.0.21"`),
		arg("tags", typeTexts, "Names for selectors: `@app`.").or(`[]`).eg(`["app"]`),
		arg("zone", typeText, "ZONE or REGION/ZONE: calls stay near.").eg(`"eu/rack1"`),
		arg("ssh_host_key", typeText, "The host's ed25519 key; wins over `nixmesh.lock`.").unset("that of `nixmesh host trust`").eg(`"ssh-ed25519 AAAA…"`),
		arg("system", typeText, "The platform.").or(`"x86_64-linux"`),
		arg("config", typeText, "An existing configuration to build on, by extendModules. Then system and packages are its own.").eg(`"infra#nixosConfigurations.edge1"`),
		arg("imports", typeImports, "NixOS modules of the fleet's folder or of an input.").or(`[]`).eg(`["./hosts/app1.nix", "disko#nixosModules.disko"]`),
		arg("nixos", typeOptions, "NixOS options: the option's path = its value.").or(`{}`).eg(`{ "services.openssh" = { enable = true } }`),
		oneOf("build_on", "Where the system is built. `target` comes with a later release (NM0109).", "local", "target").or(`"local"`),
	).repeated().holds(sshSchema("How this host is reached.").inherits("the fleet's"))
}

// inherits is the same without defaults of its own: what is left out is told elsewhere.
func (s *blockSchema) inherits(from string) *blockSchema {
	args := make([]argSchema, len(s.list))
	for i, a := range s.list {
		a.fallback = ""
		args[i] = a.unset(from)
	}
	return of(s.kind, s.label, s.doc, args...)
}

// labSchema is the one block of lab.hcl. Blocks in it override the spec's by name.
func labSchema() *blockSchema {
	fleet := fleetSchema()
	lab := of("lab", "", "What differs in the lab: `lab.hcl` holds this one block and is read with `--lab` only. Blocks in it name what exists; each argument replaces the spec's.",
		arg("nixpkgs", typeText, "Replaces `fleet.nixpkgs`.").eg(`"path:../nixpkgs"`),
		fleet.args["inputs"],
		fleet.args["overlays"],
		arg("secrets", typeTextMap, "Age file = clear text that the lab uses instead; the others get random text.").or(`{}`).eg(`{ "secrets/db.age" = "postgres://lab" }`),
	)
	for _, over := range []*blockSchema{hostSchema(), serviceSchema(), gatewaySchema(), externalSchema()} {
		lab.holds(over.optional())
	}
	return lab
}

// optional is the same without required arguments, in inner blocks, too.
func (s *blockSchema) optional() *blockSchema {
	args := make([]argSchema, len(s.list))
	for i, a := range s.list {
		a.required = false
		args[i] = a
	}
	o := of(s.kind, s.label, s.doc, args...)
	o.many, o.open = s.many, s.open
	for _, b := range s.inner {
		o.holds(b.optional())
	}
	return o
}
