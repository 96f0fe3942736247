package mesh_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// Each case changes one thing of the sample's text. The error names the member.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	text := string(sample().Canonical())
	for _, c := range []struct{ old, new, want string }{
		{`"schema":"nixmesh.mesh/1"`, `"schema":"nixmesh.mesh/2"`, `schema: "nixmesh.mesh/2" is of a newer nixmesh; this one reads "nixmesh.mesh/1"`},
		{`"schema":"nixmesh.mesh/1"`, `"schema":"nixmesh.host/1"`, `schema: "nixmesh.host/1" is not "nixmesh.mesh/1"`},
		{`{"authorization"`, `{ "authorization"`, "not in canonical form from byte 1 on"},
		{`"domain":"mesh"`, `"domain":"mesh","domain":"mesh"`, "not in canonical form from byte"},
		{`"sample":1.5`, `"sample":1.50`, "not in canonical form from byte"},
		{`"fleet":"shop"`, `"fleet":"Shop"`, `fleet: "Shop" is not a name`},
		{`"fleet":"shop"`, `"fleet":7`, "fleet: want a text"},
		{`"domain":"mesh",`, ``, `"domain" is missing`},
		{`"address":"10.0.0.21"`, `"address":"010.0.0.21"`, `hosts.app1.address: "010.0.0.21" is not an IP address in its usual form`},
		{`"address":"fd00::31"`, `"address":"fd00:0::31"`, `hosts.db1.address: "fd00:0::31" is not an IP address`},
		{`"authorities":["db1"]`, `"authorities":["db9"]`, `ca.authorities: there is no host "db9"`},
		{`"host_key":"ssh-ed25519 `, `"host_key":"ssh-rsa `, "hosts.db1.host_key: not an ed25519 key"},
		{`"leaf_ttl":"72h0m0s"`, `"leaf_ttl":"72h"`, `ca.leaf_ttl: "72h" is written "72h0m0s"`},
		{`"leaf_ttl":"72h0m0s"`, `"leaf_ttl":"-72h0m0s"`, `ca.leaf_ttl: "-72h0m0s" is no time`},
		{`"methods":["GET","POST"]`, `"methods":["POST","GET"]`, "services.api.allows[1].methods: want each text once, sorted"},
		{`"protocol":"grpc"`, `"protocol":"udp"`, `services.api.listens[1].protocol: "udp" is not one of http, http2, grpc, tcp, redis`},
		{`"split":{"v1":66.7,"v2":33.3}`, `"split":{"v1":66.7,"v2":33.4}`, "services.api.split: the sum is 100.1, not 100"},
		{`"split":{"v1":66.7,"v2":33.3}`, `"split":{"v1":66.7,"v3":33.3}`, `services.api.split: there is no version "v3"`},
		{`"steps":[10,100]`, `"steps":[100,10]`, "services.api.canary.steps[1]: 10 does not rise"},
		{`"text":"/v[0-9]+/.*"`, `"text":"/v[0-9+/.*"`, "services.api.allows[1].paths[0].text: not RE2"},
		{`"to":"v1"`, `"to":"v9"`, `services.api.routes[2].to: there is no version "v9"`},
		{`"text":"/reports/"`, `"text":"reports/"`, `services.api.routes[1].path.text: "reports/" is not an absolute path`},
		{`"caller":"operator/anna"`, `"caller":"operator/bert"`, `services.api.allows[0].caller: there is no operator "bert"`},
		{`"service":"pg"`, `"service":"pgx"`, `gateways.public.listens[2].service: there is no service "pgx"`},
		{`"host":"shop.example"`, `"host":"shop example"`, `gateways.public.routes[0].host: "shop example" is not a host name`},
		{`"percent":10,"service":"web"`, `"percent":20,"service":"web"`, "gateways.public.routes[0].targets: the sum is 110, not 100"},
		{`"port":443}],"protocol":"http","server_name"`, `"port":0}],"protocol":"http","server_name"`, "externals.stripe.hosts[0].port: 0 is not a port"},
		{`"access":["api","pg"]`, `"access":["pg"]`, "services.api.allows[0].caller: operator/anna has no access to api"},
		{`"caller":"web"`, `"caller":"spare"`, "services.api.allows[1].caller: spare has no edge to api"},
		{`"service":"pg"`, `"service":"job"`, "gateways.public.listens[2].service: public has no edge to job"},
		{`"methods":["GET"]`, `"methods":["GET\n"]`, `services.api.routes[1].methods: "GET\n" is not a token of HTTP`},
		{`"fleet":"shop"`, `"fleet":"sh\u0000p"`, `fleet: "sh\x00p" holds a NUL`},
		{`"access":["api","pg"]`, `"access":["api","px"]`, `operators.anna.access: there is no service "px"`},
		{`"api:public":{"circuit"`, `"api":{"circuit"`, `edges.public.api: name the listen: "api:public"`},
		{`"api:admin":{"circuit"`, `"job":{"circuit"`, `edges.job.job: job does not listen on ""`},
		{`"hash":"header:x-user",`, ``, "edges.api.stripe.hash: belongs to ring_hash and maglev"},
		{`"to":["spare"]`, `"to":["pg"]`, `edges.web.api:public.failover.to: there is no edge of web to "pg"`},
		{`"sticky":"version"`, `"sticky":""`, "services.api.sticky: leave it out where it is empty"},
		{`"instances":2`, `"instances":2.5`, "services.web.instances: want a whole number"},
		{`"spare":{"instances"`, `"stripe":{"instances"`, "externals.stripe: services has the name, too"},
	} {
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Errorf("%s is not in the text", c.old)
			continue
		}
		if !strings.HasPrefix(c.want, "not in canonical") { // members may have to move
			canonical, err := mesh.Canonicalize([]byte(changed))
			if err != nil {
				t.Errorf("%s: %v", c.new, err)
				continue
			}
			changed = string(canonical)
		}
		_, err := mesh.Parse([]byte(changed))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.new, err, c.want)
		}
	}
}

func TestParseBoundsTheSize(t *testing.T) {
	t.Parallel()
	_, err := mesh.Parse(bytes.Repeat([]byte(" "), mesh.MaxSize+1))
	if err == nil || !strings.Contains(err.Error(), "16777217 bytes, at most 16777216 are taken") {
		t.Error(err)
	}
}

// What Parse takes, Canonical writes again, to the byte.
func FuzzParse(f *testing.F) {
	f.Add(sample().Canonical())
	f.Add([]byte(`{"schema":"nixmesh.mesh/1","services":{"a":null}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := mesh.Parse(text)
		if err != nil {
			return
		}
		if again := c.Canonical(); !bytes.Equal(again, text) {
			t.Errorf("got  %s\nfrom %s", again, text)
		}
	})
}
