package e2e

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	gosync "sync"
	"testing"
	"time"

	"net/netip"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/sync"
	"github.com/nixmesh/nixmesh/mesh"
)

// gullible believes every signature.
type gullible struct{}

func (gullible) VerifyNode(string, []byte, []byte) error               { return nil }
func (gullible) VerifyOperator(_, _ []byte) (operator string, _ error) { return "lab", nil }

// forge is what a host would say of itself, signed by somebody.
func forge(t *testing.T, owner string, config *mesh.Config, epoch uint64, sign catalog.Sign) *catalog.Delta {
	t.Helper()
	c := catalog.New(owner, gullible{})
	c.Configure(config)
	ill := catalog.Instance{Copy: 1, Health: catalog.Unhealthy, Since: time.Now(), Reason: "forged"}
	err := c.Start(time.Now(), epoch, []catalog.Update{
		catalog.HostUpdate(catalog.Host{Agent: "forged", Protocols: catalog.Protocols{Min: 1, Max: 1}}),
		catalog.ServiceUpdate("web", catalog.Service{Instances: []catalog.Instance{ill}}),
	}, sign)
	if err != nil {
		t.Fatal(err)
	}
	return of(owner, c.Delta(time.Now(), &catalog.Digest{}, 1<<20))
}

// withHost is a mesh configuration that names one host more.
func withHost(config *mesh.Config, name string) *mesh.Config {
	more := *config
	more.Hosts = maps.Clone(config.Hosts)
	for _, h := range config.Hosts {
		more.Hosts[name] = h
		break
	}
	return &more
}

// liar is an agent that somebody runs in place of a host's own: with the host's
// node key, at its address, and with what he likes to say.
type liar struct {
	sync *sync.Sync
	id   identity

	mu      gosync.Mutex // guards what follows
	catalog *catalog.Catalog
	serve   map[string]func(ctx context.Context) ([]byte, error) // documents by hash
	asked   map[string]int                                       // calls, by hash
}

var _ sync.Catalog = (*liar)(nil)

// lie starts one in a host's place, whose own agent is stopped.
func (f *fleet) lie(t *testing.T, host string, config *mesh.Config) *liar {
	t.Helper()
	l := &liar{id: f.steal(t, host), catalog: catalog.New(host, gullible{}), serve: map[string]func(context.Context) ([]byte, error){}, asked: map[string]int{}}
	l.catalog.Configure(config)
	if err := l.catalog.Start(time.Now(), 1<<40, []catalog.Update{l.host(catalog.Document{})}, l.id.sign); err != nil {
		t.Fatal(err)
	}
	at := f.seat(host)
	s, err := sync.New(sync.Options{
		Host: host, Key: l.id.key, Listen: netip.AddrPortFrom(at.addr, sync.DefaultPort), Network: at,
		Catalog: l, Nodes: trusting{l.id.cert}, Protocols: catalog.Protocols{Min: 1, Max: 1},
		Handlers: map[string]sync.Handler{"document": l.document},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.sync = s
	t.Cleanup(func() { l.stop(t) })
	others := map[string]netip.AddrPort{}
	for _, name := range f.hosts {
		if name != host {
			others[name] = netip.AddrPortFrom(f.seat(name).addr, sync.DefaultPort)
		}
	}
	s.SetHosts(others)
	return l
}

func (l *liar) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lineTimeout)
	defer cancel()
	if err := l.sync.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func (l *liar) host(d catalog.Document) catalog.Update {
	return catalog.HostUpdate(catalog.Host{Agent: "liar", Protocols: catalog.Protocols{Min: 1, Max: 1}, Document: d})
}

// announce says that this host acts on a document, which it serves as it is told.
func (l *liar) announce(t *testing.T, version int64, hash string, serve func(ctx context.Context) ([]byte, error)) {
	t.Helper()
	d := catalog.Document{Version: uint64(version)}
	if _, err := hex.Decode(d.Hash[:], []byte(hash)); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serve[hash] = serve
	if err := l.catalog.Publish(time.Now(), []catalog.Update{l.host(d)}, l.id.sign); err != nil {
		t.Fatal(err)
	}
	l.sync.Push(of(l.id.host, l.catalog.Delta(time.Now(), &catalog.Digest{}, 1<<20)))
}

// questions is how often a document was asked for.
func (l *liar) questions(hash string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[hash]
}

// always serves the same.
func always(b []byte) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return b, nil }
}

// stall serves nothing, and does not say so before it is released.
func stall(release <-chan struct{}) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		select {
		case <-release:
			return nil, errors.New("not any more")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *liar) document(ctx context.Context, _ string, body []byte) ([]byte, error) {
	hash := string(body)
	l.mu.Lock()
	serve := l.serve[hash]
	l.asked[hash]++
	l.mu.Unlock()
	if serve == nil {
		return nil, errors.New("not here")
	}
	return serve(ctx)
}

func (l *liar) Digest(now time.Time) *catalog.Digest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.catalog.Digest(now)
}

func (l *liar) OpenDigest(b []byte) (*catalog.Digest, error) {
	return catalog.OpenDigest(b, gullible{})
}

func (l *liar) SealDigest(d *catalog.Digest) ([]byte, error) { return d.Encode(l.id.sign) }

func (l *liar) Delta(now time.Time, theirs *catalog.Digest, budget int) *catalog.Delta {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.catalog.Delta(now, theirs, budget)
}

func (l *liar) Merge(now time.Time, _ string, d *catalog.Delta) catalog.Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.catalog.Merge(now, d)
}
