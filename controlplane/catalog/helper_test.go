package catalog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

// start is when tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// keyring is keys without the cost of real ones: a host's key is its number.
type keyring struct {
	number  map[string]int
	unknown map[string]bool
}

func newKeyring() *keyring { return &keyring{number: map[string]int{}, unknown: map[string]bool{}} }

func fakeSignature(who string, number int, message []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d ", who, number)
	h.Write(message)
	half := h.Sum(nil)
	return append(half, half...)
}

func (k *keyring) VerifyNode(host string, message, signature []byte) error {
	if k.unknown[host] {
		return ErrNoKey
	}
	if !bytes.Equal(signature, fakeSignature(host, k.number[host], message)) {
		return errors.New("another signature")
	}
	return nil
}

func (k *keyring) VerifyOperator(message, signature []byte) (string, error) {
	name, rest, _ := strings.Cut(string(signature), ":")
	if rest != string(fakeSignature("operator "+name, 0, append([]byte("nixmesh-override "), message...))) {
		return "", errors.New("not an operator's")
	}
	return name, nil
}

func (k *keyring) signer(host string) Sign {
	return func(message []byte) ([]byte, error) { return fakeSignature(host, k.number[host], message), nil }
}

func operator(name string) Sign {
	return func(message []byte) ([]byte, error) {
		return append([]byte(name+":"), fakeSignature("operator "+name, 0, append([]byte("nixmesh-override "), message...))...), nil
	}
}

// realKeys are ed25519 keys.
type realKeys map[string]ed25519.PrivateKey

func (k realKeys) VerifyNode(host string, message, signature []byte) error {
	if !ed25519.Verify(k[host].Public().(ed25519.PublicKey), message, signature) {
		return errors.New("another signature")
	}
	return nil
}

func (k realKeys) VerifyOperator([]byte, []byte) (string, error) {
	return "", errors.New("no operators")
}

func (k realKeys) signer(host string) Sign {
	return func(message []byte) ([]byte, error) { return ed25519.Sign(k[host], message), nil }
}

func newRealKeys(hosts []string) realKeys {
	k := realKeys{}
	for _, host := range hosts {
		seed := sha256.Sum256([]byte(host))
		k[host] = ed25519.NewKeyFromSeed(seed[:])
	}
	return k
}

func hostNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("h%d", i)
	}
	return names
}

// configOf is a mesh configuration that names hosts, and services on all of them.
func configOf(hosts []string, services ...string) *mesh.Config {
	c := &mesh.Config{Hosts: map[string]*mesh.Host{}, Services: map[string]*mesh.Service{}}
	for i, name := range hosts {
		c.Hosts[name] = &mesh.Host{Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), Zone: "z1"}
	}
	for _, name := range services {
		c.Services[name] = &mesh.Service{Versions: []mesh.Version{{Hosts: hosts}}}
	}
	return c
}

func catalogOf(self string, keys Keys, config *mesh.Config) *Catalog {
	c := New(self, keys)
	c.Configure(config)
	return c
}

func one(health Health) Service { return Service{Instances: []Instance{{Copy: 1, Health: health}}} }

var plainHost = Host{Agent: "1.0.0", Protocols: Protocols{1, 1}}

// fleet is one catalog per host.
type fleet struct {
	t      testing.TB
	keys   *keyring
	names  []string
	config *mesh.Config
	at     map[string]*Catalog
	now    time.Time
}

func newFleet(t testing.TB, n int, services ...string) *fleet {
	f := &fleet{t: t, keys: newKeyring(), names: hostNames(n), at: map[string]*Catalog{}, now: start}
	f.config = configOf(f.names, services...)
	for _, name := range f.names {
		c := catalogOf(name, f.keys, f.config)
		f.at[name] = c
		f.must(c.Start(f.now, 1, []Update{HostUpdate(plainHost)}, f.keys.signer(name)))
		for _, other := range f.names {
			c.SetLiveness(f.now, other, Alive)
		}
	}
	return f
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) publish(host string, updates ...Update) {
	f.t.Helper()
	f.must(f.at[host].Publish(f.now, updates, f.keys.signer(host)))
}

// pull lets one host ask another, over the wire.
func (f *fleet) pull(to, from string) Result {
	f.t.Helper()
	b, err := f.at[to].Digest(f.now).Encode(f.keys.signer(to))
	f.must(err)
	digest, err := OpenDigest(b, f.keys)
	f.must(err)
	return f.tell(to, f.at[from].Delta(f.now, digest, MaxDelta))
}

func (f *fleet) tell(to string, d *Delta) Result {
	f.t.Helper()
	read, err := DecodeDelta(d.Encode())
	f.must(err)
	return f.at[to].Merge(f.now, read)
}

func (f *fleet) pullAll() {
	f.t.Helper()
	for range 2 {
		for _, to := range f.names {
			for _, from := range f.names {
				if to != from {
					f.pull(to, from)
				}
			}
		}
	}
}

// state writes down what a catalog relays and shows.
func state(c *Catalog) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.owners)) {
		o := c.owners[name]
		fmt.Fprintf(&b, "%s epoch %d\n", name, o.epoch)
		for _, e := range o.bySeq {
			if !e.Deleted {
				fmt.Fprintf(&b, "  %d %v %x\n", e.Seq, e.Key, sha256.Sum256(e.bytes))
			}
		}
		for _, key := range slices.SortedFunc(maps.Keys(o.leftovers), compareKeys) {
			fmt.Fprintf(&b, "  leftover %v\n", key)
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(c.overrides.held)) {
		fmt.Fprintf(&b, "%s %s\n", subject, c.overrides.held[subject].Stamp)
	}
	return b.String()
}

func (f *fleet) same() {
	f.t.Helper()
	want := state(f.at[f.names[0]])
	for _, name := range f.names[1:] {
		if got := state(f.at[name]); got != want {
			f.t.Fatalf("%s and %s differ:\n%s\n%s", f.names[0], name, want, got)
		}
	}
}
