package catalog

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"
)

func FuzzRecord(f *testing.F) {
	c := newFleet(f, 1, "web")
	for _, rec := range signed(f, c.at["h0"], c.keys, ServiceUpdate("web", Service{Instances: []Instance{
		{Version: "v1", Copy: 1, Health: Unhealthy, Draining: true, Since: start, Reason: "refused"}, {Copy: 2, Health: Healthy},
	}}), HostUpdate(Host{Agent: "1.2.3", Protocols: Protocols{1, 2}, Document: Document{Version: 4, Hash: [32]byte{1}}, Draining: true, Port: 15443, System: "nixos", Envoy: EnvoyActs}), Update{Key: Key{9, "x"}, Payload: []byte("?")}) {
		f.Add(rec.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := DecodeRecord(b)
		if err != nil {
			return
		}
		if got := append(rec.body(), b[len(b)-SignatureSize:]...); !bytes.Equal(got, b) {
			t.Fatalf("one record has two texts:\n%x\n%x", b, got)
		}
		if h := rec.Host(); h != nil {
			again, err := decodeHost(h.encode())
			if err != nil || *again != *h {
				t.Fatalf("%+v became %+v: %v", h, again, err)
			}
		}
		if s := rec.Service(); s != nil {
			if _, err := decodeService(s.encode()); err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
		}
	})
}

func FuzzDelta(f *testing.F) {
	c := newFleet(f, 2, "web")
	c.publish("h0", ServiceUpdate("web", one(Healthy)))
	c.must(c.at["h0"].SetOverride(c.now, c.seal(Override{Kind: Drain, Host: "h1"})))
	c.pull("h1", "h0")
	f.Add(c.at["h1"].Delta(c.now, &Digest{}, MaxDelta).Encode())
	c.publish("h0", Gone("web"))
	f.Add(c.at["h0"].Delta(c.now, c.at["h1"].Digest(c.now), MaxDelta).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDelta(b)
		if err != nil {
			return
		}
		whole := true
		for _, p := range d.Parts {
			whole = whole && p.broken == nil
		}
		if got := d.Encode(); whole && !bytes.Equal(got, b) {
			t.Fatalf("one delta has two texts:\n%x\n%x", b, got)
		}
		reader := catalogOf("r", believer{}, c.config)
		reader.Merge(c.now, d)
		reader.Merge(c.now, d)
		reader.Tick(c.now.Add(48 * time.Hour))
		reader.Delta(c.now, &Digest{}, MaxDelta)
		reader.Pending(c.config)
		reader.Endpoints(c.now, c.config, "web")
		if err := catalogOf("r", believer{}, c.config).Restore(c.now, reader.Snapshot(c.now)); err != nil {
			t.Fatal(err)
		}
	})
}

// believer takes every signature for good, so that fuzzing gets behind them.
type believer struct{}

func (believer) VerifyNode(string, []byte, []byte) error            { return nil }
func (believer) VerifyOperator(_, signature []byte) (string, error) { return "anna", nil }

func FuzzDigest(f *testing.F) {
	c := newFleet(f, 3, "web")
	c.must(c.at["h0"].SetOverride(c.now, c.seal(Override{Kind: Drain, Host: "h1"})))
	c.pullAll()
	b, err := c.at["h1"].Digest(c.now).Encode(c.keys.signer("h1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := OpenDigest(b, believer{})
		if err != nil {
			return
		}
		got, err := d.Encode(func([]byte) ([]byte, error) { return b[len(b)-SignatureSize:], nil })
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("one digest has two texts: %v\n%x\n%x", err, b, got)
		}
		c.at["h0"].Delta(c.now, d, 1<<16)
	})
}

func FuzzOverride(f *testing.F) {
	c := newFleet(f, 2, "api")
	f.Add(c.seal(Override{Kind: Drain, Host: "h1", ByNode: true, Stamp: HLC{}.After(c.now, "h1")}).Bytes())
	f.Add(c.seal(Override{Kind: Fault, Service: "api", ID: "x", Life: time.Hour, Value: []byte("{}")}).Bytes())
	f.Add(c.seal(Override{Kind: Shift, Service: "api", Cleared: true, Base: [8]byte{1}}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeOverride(b)
		if err != nil {
			return
		}
		if got := appendBytes(appendBytes(nil, o.body()), o.signature); !bytes.Equal(got, b) {
			t.Fatalf("one override has two texts:\n%x\n%x", b, got)
		}
		if o.Subject() == "" || len(o.Subject()) > maxSubject {
			t.Fatal(o.Subject())
		}
	})
}

// The sum would keep the fuzzer out: it is made to match.
func FuzzSnapshot(f *testing.F) {
	c := newFleet(f, 2, "web")
	c.publish("h0", ServiceUpdate("web", one(Healthy)), ServiceUpdate("api", one(Healthy)))
	c.publish("h0", Gone("api"))
	c.must(c.at["h0"].SetOverride(c.now, c.seal(Override{Kind: Drain, Host: "h1"})))
	c.pullAll()
	b := c.at["h0"].Snapshot(c.now)
	f.Add(b[:len(b)-sha256.Size])
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b)
		reader := catalogOf("r", believer{}, c.config)
		if reader.Restore(c.now, append(bytes.Clone(b), sum[:]...)) != nil {
			return
		}
		again := catalogOf("r", believer{}, c.config)
		if err := again.Restore(c.now, reader.Snapshot(c.now)); err != nil {
			t.Fatal(err)
		}
		if a, b := state(reader), state(again); a != b {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}
