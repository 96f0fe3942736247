package deploy

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// largeMesh has services on ten hosts each, with five edges, an allow and two
// routes.
func largeMesh(services, hosts int, timeout mesh.Duration) *mesh.Config {
	c := shopMesh(1e9)
	sample := shopMesh(1e9, "api").Edges["web"]["api"]
	c.Hosts, c.Services, c.Edges, c.CA.Authorities = map[string]*mesh.Host{}, map[string]*mesh.Service{}, map[string]map[string]*mesh.Edge{}, nil
	host := func(i int) string { return fmt.Sprintf("host%03d", i%hosts) }
	name := func(i int) string { return fmt.Sprintf("service%04d", i%services) }
	for i := range hosts {
		c.Hosts[host(i)] = &mesh.Host{Address: fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250), Zone: fmt.Sprintf("eu/rack%d", i%8)}
	}
	for i := range services {
		on := mesh.Names{}
		for k := range 10 {
			on = append(on, host(i*7+k))
		}
		c.Services[name(i)] = &mesh.Service{Listens: []mesh.Listen{{Protocol: "http"}}, Versions: []mesh.Version{{Hosts: on}}, Instances: 1, MTLS: "strict",
			Allows: []mesh.Allow{{Caller: name(i + services - 1), Methods: mesh.Names{"GET", "POST"}}},
			Routes: []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathExact, Text: "/healthz"}}}, {Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/reports/"}}}}}
		c.Edges[name(i)] = map[string]*mesh.Edge{}
		for k := range 5 {
			e := *sample
			e.Timeout = &timeout
			c.Edges[name(i)][name(i+1+k*k)] = &e
		}
	}
	return c
}

// BenchmarkMeshPublish is one change at 1,000 services on 100 hosts: what the
// command does of it, and what one agent does with a document that is put to it
// over its socket.
func BenchmarkMeshPublish(b *testing.B) {
	key, err := trust.GenerateSSHKey("anna")
	if err != nil {
		b.Fatal(err)
	}
	sign := func(namespace string, message []byte) (string, error) {
		return trust.Sign(key.Signer, namespace, message)
	}
	live, next := largeMesh(1000, 100, 1e9), largeMesh(1000, 100, 1e9)
	*next.Edges["service0001"]["service0002"].Timeout = 5e9
	first := mesh.NextDocument(nil, live, "anna")
	if err := first.Sign(sign); err != nil {
		b.Fatal(err)
	}
	text := first.Canonical()
	run := func(name string, once func() error) {
		b.Run(name, func(b *testing.B) {
			before := processor()
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processor()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(len(text))/1e6, "MB")
		})
	}
	run("plan", func() error {
		m := meshOf(&MeshNext{Config: next})
		m.compare(&meshLive{document: first, config: live}, nil)
		return nil
	})
	run("sign", func() error { return mesh.NextDocument(first, next, "anna").Sign(sign) })

	w := newWorld()
	a := &fakeAgent{all: &fakeAgents{w: w}, host: "app1", kept: map[string][]byte{},
		signers: &mesh.Signers{Verify: trust.Verify, Keys: map[string][]string{"anna": {key.Authorized}}}}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	server, err := api.New(api.Options{Source: a, Listener: listener})
	if err == nil {
		err = server.Start(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	client := agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", listener.Addr().String())
	})
	run("put", func() error {
		answer, err := client.Apply(b.Context(), text)
		if err == nil && answer.Result != agentapi.ApplyInForce {
			err = fmt.Errorf("%+v", answer)
		}
		return err
	})
	run("get", func() error { _, err := client.Document(b.Context(), ""); return err })
}

// processor is the time that this process had the processor: what counts where
// others want it, too.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it does not fail for the process itself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
