package catalog

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawText(rt *rapid.T, what string, limit int) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abc XYZ.-é✓")), 0, 20, limit).Draw(rt, what)
}

func drawName(rt *rapid.T, what string) string {
	return rapid.StringMatching(`[a-z][a-z0-9-]{0,30}`).Draw(rt, what)
}

func drawHost(rt *rapid.T) Host {
	h := Host{
		Agent: drawText(rt, "agent", maxAgent), Draining: rapid.Bool().Draw(rt, "draining"),
		Port: rapid.Uint16().Draw(rt, "port"), System: drawText(rt, "system", maxSystem),
	}
	h.Protocols.Min = rapid.Uint64Range(0, 9).Draw(rt, "min")
	h.Protocols.Max = h.Protocols.Min + rapid.Uint64Range(0, 9).Draw(rt, "more")
	h.Document.Version = rapid.Uint64().Draw(rt, "version")
	copy(h.Document.Hash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "hash"))
	copy(h.Overrides[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "sum"))
	return h
}

func drawService(rt *rapid.T) Service {
	var s Service
	for i := range rapid.IntRange(0, 5).Draw(rt, "instances") {
		in := Instance{Copy: i + 1, Health: Health(rapid.IntRange(1, 3).Draw(rt, "health")), Draining: rapid.Bool().Draw(rt, "draining"), Reason: drawText(rt, "reason", MaxReason)}
		if rapid.Bool().Draw(rt, "versioned") {
			in.Version = drawName(rt, "version")
		}
		if since := rapid.Int64Range(0, 1<<33).Draw(rt, "since"); since > 0 {
			in.Since = time.Unix(since, 0)
		}
		s.Instances = append(s.Instances, in)
	}
	return s
}

func TestPayloadsComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHost(rt)
		if got, err := decodeHost(h.encode()); err != nil || !reflect.DeepEqual(*got, h) {
			rt.Fatalf("%+v became %+v: %v", h, got, err)
		}
		s := drawService(rt)
		if got, err := decodeService(s.encode()); err != nil || !reflect.DeepEqual(*got, s) {
			rt.Fatalf("%+v became %+v: %v", s, got, err)
		}
	})
}

func signed(t testing.TB, c *Catalog, keys *keyring, updates ...Update) []*Record {
	t.Helper()
	g := c.Generation()
	if err := c.Publish(start, updates, keys.signer(c.self)); err != nil {
		t.Fatal(err)
	}
	changes, _ := c.Since(g)
	var list []*Record
	for _, p := range c.Push(start, changes).Parts {
		list = append(list, p.Records...)
	}
	return list
}

// A newer agent's kinds and fields pass through this one unharmed.
func TestUnknownThingsAreRelayed(t *testing.T) {
	f := newFleet(t, 3, "web")
	later := appendField(plainHost.encode(), 99, "of a later release")
	service := one(Healthy)
	service.Instances[0].Health = 200
	f.publish("h0", Update{Key: Key{77, "thing"}, Payload: []byte{1, 2, 3}}, Update{Key: Key{Kind: KindHost}, Payload: later}, ServiceUpdate("web", service))
	f.pull("h1", "h0")
	f.pull("h2", "h1")
	if got := f.at["h2"].Record("h0", Key{77, "thing"}); got == nil || string(got.Payload) != "\x01\x02\x03" {
		t.Error(got)
	}
	got := f.at["h2"].Record("h0", Key{Kind: KindHost})
	if string(got.Payload) != string(later) || got.Host().Agent != plainHost.Agent {
		t.Error(got)
	}
	if got := f.at["h2"].Record("h0", Key{KindService, "web"}).Service(); got.Instances[0].Health != Unhealthy {
		t.Error("an unknown health is taken for healthy")
	}
}

func TestUnreadablePayloadIsKeptAndNotActedOn(t *testing.T) {
	f := newFleet(t, 3, "web")
	bad := &Record{Owner: "h0", Stamp: Stamp{1, 2}, Last: 2, Key: Key{KindService, "web"}, Payload: []byte{1, 9}}
	own := f.at["h0"].owners["h0"]
	bad.Sum = own.sum.plus(bad.hash())
	f.must(bad.sign(f.keys.signer("h0")))
	f.pull("h1", "h0")
	r := f.tell("h1", &Delta{Parts: []Part{{Owner: "h0", Epoch: 1, From: 1, Records: []*Record{bad}}}})
	f.pull("h2", "h1")
	for _, name := range []string{"h1", "h2"} {
		got := f.at[name].Record("h0", Key{KindService, "web"})
		if got == nil || !errors.Is(got.Unreadable(), ErrMalformed) || got.Service() != nil {
			t.Fatal(name, got, r)
		}
		if s, _ := f.at[name].Status("h0"); !s.Complete {
			t.Error(s)
		}
		if len(f.at[name].Endpoints(f.now, f.config, "web")) != 0 {
			t.Error("it is acted on")
		}
	}
	if p := f.at["h1"].Pending(f.config)[0]; p.Why != NotReadable {
		t.Error(p)
	}
}

func TestStrictDecoding(t *testing.T) {
	f := newFleet(t, 1, "web")
	rec := signed(t, f.at["h0"], f.keys, ServiceUpdate("web", one(Healthy)))[0]
	for i := range rec.Bytes() {
		if _, err := DecodeRecord(rec.Bytes()[:i]); err == nil {
			t.Errorf("a record of the first %d bytes", i)
		}
	}
	if _, err := DecodeRecord(append([]byte{2}, rec.Bytes()[1:]...)); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
	long := append([]byte{wireVersion, 0x82, 0x00}, rec.Bytes()[2:]...) // kind 2 in two bytes
	if _, err := DecodeRecord(long); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	for what, payload := range map[string][]byte{
		"fields out of order": appendNumberField(appendNumberField(nil, hostPort, 1), hostDraining, 1),
		"a field twice":       appendNumberField(appendNumberField(nil, hostPort, 1), hostPort, 2),
		"an escape":           appendField(nil, hostAgent, "\x1b[2J"),
		"a direction mark":    appendField(nil, hostAgent, "a\u202eb"),
		"no UTF-8":            appendField(nil, hostAgent, "\xff"),
		"a long text":         appendField(nil, hostAgent, strings.Repeat("a", maxAgent+1)),
		"protocols backwards": appendField(nil, hostProtocols, []byte{3, 2}),
		"bytes after a value": appendField(nil, hostPort, []byte{1, 1}),
		"field 0":             appendField(nil, 0, ""),
	} {
		if h, err := decodeHost(payload); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", what, h, err)
		}
	}
	var many Service
	for i := range MaxInstances + 1 {
		many.Instances = append(many.Instances, Instance{Copy: i, Health: Healthy})
	}
	if _, err := decodeService(many.encode()); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if err := f.at["h0"].Publish(f.now, []Update{ServiceUpdate("web", many)}, f.keys.signer("h0")); err == nil {
		t.Error("what no reader takes is published")
	}
}

func TestClaimedCountsAllocateNothing(t *testing.T) {
	b := binary.AppendUvarint([]byte{wireVersion}, maxParts)
	allocated := testing.AllocsPerRun(10, func() {
		if _, err := DecodeDelta(b); err == nil {
			t.Error("taken")
		}
	})
	if allocated > 20 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestRealKeys(t *testing.T) {
	hosts := hostNames(2)
	keys := newRealKeys(hosts)
	config := configOf(hosts, "web")
	a, b := catalogOf("h0", keys, config), catalogOf("h1", keys, config)
	if err := a.Start(start, 1, []Update{HostUpdate(plainHost), ServiceUpdate("web", one(Healthy))}, keys.signer("h0")); err != nil {
		t.Fatal(err)
	}
	sealed, err := b.Digest(start).Encode(keys.signer("h1"))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := OpenDigest(sealed, keys)
	if err != nil {
		t.Fatal(err)
	}
	d, err := DecodeDelta(a.Delta(start, digest, MaxDelta).Encode())
	if err != nil {
		t.Fatal(err)
	}
	if r := b.Merge(start, d); r.Taken != 2 || r.Refused != 0 {
		t.Fatal(r)
	}
	sealed[5] ^= 1
	if _, err := OpenDigest(sealed, keys); err == nil {
		t.Error("a changed digest opens")
	}
	// A signature for one purpose serves no other.
	rec := d.Parts[0].Records[0]
	message, signature := rec.message()
	if keys.VerifyNode("h0", message, signature) != nil {
		t.Error("the record's signature")
	}
	if keys.VerifyNode("h0", append([]byte(digestDomain), message[len(recordDomain):]...), signature) == nil {
		t.Error("a record's signature serves a digest")
	}
}

func TestProtocols(t *testing.T) {
	for _, test := range []struct {
		a, b Protocols
		want uint64
		ok   bool
	}{
		{Protocols{1, 1}, Protocols{1, 2}, 1, true},
		{Protocols{1, 3}, Protocols{2, 4}, 3, true},
		{Protocols{1, 1}, Protocols{2, 2}, 1, false},
	} {
		if n, ok := test.a.Common(test.b); ok != test.ok || ok && n != test.want {
			t.Error(test, n, ok)
		}
		if n, ok := test.b.Common(test.a); ok != test.ok || ok && n != test.want {
			t.Error(test, n, ok)
		}
	}
}
