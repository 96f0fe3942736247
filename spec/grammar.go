package spec

// blockSchema says what a block accepts. Words of the language that come with a
// later release are in the same table, so that they are told from typos.
type blockSchema struct {
	label  string // what the label is: "NAME"; "" = no label
	args   map[string]argSchema
	blocks map[string]*blockSchema
	many   bool // may be repeated, even with the same label
	later  bool
}

// argSchema says how an argument stands in its block.
type argSchema struct {
	required bool
	later    bool
	example  string // a correct line for hints
}

func later(args map[string]argSchema, words ...string) map[string]argSchema {
	for _, w := range words {
		args[w] = argSchema{later: true}
	}
	return args
}

func laterBlock(label string) *blockSchema {
	return &blockSchema{label: label, many: true, later: true}
}

// grammar is the language: the blocks of a file.
func grammar() *blockSchema {
	return &blockSchema{blocks: map[string]*blockSchema{
		"fleet":    fleetSchema(),
		"operator": operatorSchema(),
		"host":     hostSchema(),
		"service":  serviceSchema(),
		"gateway":  laterBlock("NAME"),
		"external": laterBlock("NAME"),
		"variable": laterBlock("NAME"),
		"locals":   laterBlock(""),
	}}
}

func sshSchema() *blockSchema {
	return &blockSchema{args: map[string]argSchema{
		"user": {example: `user = "deploy"`},
		"port": {example: `port = 22`},
		"key":  {example: `key = "~/.ssh/id_ed25519"`},
		"jump": {example: `jump = "anna@bastion.example:22"`},
	}}
}

func fleetSchema() *blockSchema {
	return &blockSchema{
		label: "NAME",
		many:  true, // NM0003 has its own words
		args: later(map[string]argSchema{
			"nixpkgs":       {required: true, example: `nixpkgs = "github:NixOS/nixpkgs/nixos-26.05"`},
			"inputs":        {example: `inputs = { shop = "github:acme/shop" }`},
			"overlays":      {example: `overlays = ["./packages.nix"]`},
			"nixmesh":       {example: `nixmesh = "0.x"`},
			"domain":        {example: `domain = "mesh"`},
			"keep_releases": {example: `keep_releases = 5`},
		}, "authorization"),
		blocks: map[string]*blockSchema{
			"ssh": sshSchema(),
			"rollout": {
				args: map[string]argSchema{
					"order":            {example: `order = ["@db", "@app", "*"]`},
					"parallel":         {example: `parallel = 4`},
					"confirm":          {example: `confirm = "90s"`},
					"settle":           {example: `settle = "3s"`},
					"activate_timeout": {example: `activate_timeout = "10m"`},
					"soak":             {example: `soak = "0s"`},
					"on_fail":          {example: `on_fail = "stop"`},
					"max_failed":       {example: `max_failed = 0`},
					"last_resort":      {example: `last_resort = "reboot"`},
				},
				blocks: map[string]*blockSchema{"gate": laterBlock("")},
			},
			"ca":        laterBlock(""),
			"telemetry": laterBlock(""),
		},
	}
}

func operatorSchema() *blockSchema {
	return &blockSchema{label: "NAME", many: true, args: later(map[string]argSchema{
		"ssh":     {required: true, example: `ssh = ["ssh-ed25519 AAAA… anna"]`},
		"sign":    {example: `sign = ["ssh-ed25519 AAAA… anna"]`},
		"nix_key": {example: `nix_key = "anna-1:BASE64"`},
		"age":     {example: `age = "age1…"`},
	}, "ca", "access")}
}

func hostSchema() *blockSchema {
	return &blockSchema{
		label: "NAME",
		many:  true,
		args: map[string]argSchema{
			"address":      {required: true, example: `address = "10.0.0.21"`},
			"tags":         {example: `tags = ["app"]`},
			"zone":         {example: `zone = "eu/rack1"`},
			"ssh_host_key": {example: `ssh_host_key = "ssh-ed25519 AAAA…"`},
			"system":       {example: `system = "x86_64-linux"`},
			"config":       {example: `config = "infra#nixosConfigurations.edge1"`},
			"imports":      {example: `imports = ["./hosts/app1.nix"]`},
			"nixos":        {example: `nixos = { "services.openssh" = { enable = true } }`},
			"build_on":     {example: `build_on = "local"`},
		},
		blocks: map[string]*blockSchema{"ssh": sshSchema()},
	}
}

func serviceSchema() *blockSchema {
	return &blockSchema{
		label: "NAME",
		many:  true,
		args: later(map[string]argSchema{
			"on":      {required: true, example: `on = ["@app"]`},
			"package": {example: `package = "shop-web"`},
			"unit":    {example: `unit = "postgresql.service"`},
			"exec":    {example: `exec = "bin/web --listen 127.0.0.1:$PORT"`},
			"env":     {example: `env = { LOG_LEVEL = "info" }`},
			"user":    {example: `user = "postgres"`},
			"harden":  {example: `harden = "strict"`},
			"nixos":   {example: `nixos = { "services.redis" = { enable = true } }`},
			"imports": {example: `imports = ["./services/web.nix"]`},
		}, "before_start", "schedule", "start_after", "restart", "instances", "secrets", "secret_env",
			"jit", "egress", "mtls", "split", "sticky"),
		blocks: map[string]*blockSchema{
			"listen": {label: "PROTOCOL", many: true, args: map[string]argSchema{
				"port":    {example: `port = 5432`},
				"name":    {example: `name = "admin"`},
				"address": {example: `address = "127.0.0.1"`},
			}},
			"check": {many: true, args: map[string]argSchema{
				"http":    {example: `http = "/healthz"`},
				"tcp":     {example: `tcp = true`},
				"grpc":    {example: `grpc = ""`},
				"exec":    {example: `exec = "bin/ping"`},
				"package": {example: `package = "postgresql"`},
				"listen":  {example: `listen = "admin"`},
				"every":   {example: `every = "5s"`},
				"timeout": {example: `timeout = "3s"`},
				"rise":    {example: `rise = 2`},
				"fall":    {example: `fall = 3`},
				"after":   {example: `after = "0s"`},
			}},
			"limits": {args: later(map[string]argSchema{
				"memory": {example: `memory = "512MiB"`},
				"cpu":    {example: `cpu = "150%"`},
				"tasks":  {example: `tasks = 512`},
				"files":  {example: `files = 65536`},
			}, "connections")},
			"rollout": {args: map[string]argSchema{
				"confirm":     {example: `confirm = "90s"`},
				"settle":      {example: `settle = "3s"`},
				"min_healthy": {example: `min_healthy = 1`},
				"drain":       {example: `drain = "30s"`},
				"stop":        {example: `stop = "30s"`},
			}},
			"version":  laterBlock("NAME"),
			"canary":   laterBlock(""),
			"upstream": laterBlock("NAME"),
			"allow":    laterBlock("CALLER"),
			"route":    laterBlock("PATH"),
			"limit":    laterBlock(""),
		},
	}
}

// labSchema is the one block of lab.hcl. Blocks in it override the spec's by name.
func labSchema() *blockSchema {
	fleet, host, service := fleetSchema(), hostSchema(), serviceSchema()
	for _, over := range []*blockSchema{host, service} {
		for name, arg := range over.args {
			arg.required = false
			over.args[name] = arg
		}
	}
	return &blockSchema{
		args: later(map[string]argSchema{
			"nixpkgs":  {example: `nixpkgs = "path:../nixpkgs"`},
			"inputs":   fleet.args["inputs"],
			"overlays": fleet.args["overlays"],
		}, "secrets"),
		blocks: map[string]*blockSchema{
			"host":     host,
			"service":  service,
			"gateway":  laterBlock("NAME"),
			"external": laterBlock("NAME"),
		},
	}
}
