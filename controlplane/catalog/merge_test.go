package catalog

import (
	"errors"
	"testing"
	"time"
)

func TestEverybodyLearnsEverything(t *testing.T) {
	f := newFleet(t, 3, "web")
	f.publish("h0", ServiceUpdate("web", one(Healthy)), ServiceUpdate("api", one(Unhealthy)))
	f.pullAll()
	f.same()
	f.publish("h0", Gone("api"), ServiceUpdate("web", one(Unhealthy)))
	f.pullAll()
	f.same()
	if f.at["h2"].Record("h0", Key{KindService, "api"}) != nil {
		t.Fatal("api is still there")
	}
	if s, _ := f.at["h1"].Status("h0"); !s.Complete || s.Seq != 5 {
		t.Fatal(s)
	}
	root := f.at["h0"].Digest(f.now).Root()
	if root != f.at["h1"].Digest(f.now.Add(time.Hour)).Root() {
		t.Fatal("roots differ where nothing does")
	}
	if d := f.at["h0"].Delta(f.now, f.at["h1"].Digest(f.now), MaxDelta); !d.Empty() {
		t.Fatal("there is something to tell")
	}
}

func TestRefusals(t *testing.T) {
	f := newFleet(t, 2)
	other := newFleet(t, 3)
	other.keys.number["h1"] = 7 // a stranger that calls itself h1
	other.must(other.at["h1"].Restart(f.now, 2, other.keys.signer("h1")))
	everything := func(name string) *Delta { return other.at[name].Delta(f.now, &Digest{}, MaxDelta) }

	r := f.tell("h0", everything("h2"))
	if r.Refused != 1 || !errors.Is(r.Refusals[0].Err, ErrUnknownHost) {
		t.Errorf("unknown host: %v", r)
	}
	r = f.tell("h0", everything("h1"))
	if r.Refused != 1 || !errors.Is(r.Refusals[0].Err, ErrBadSignature) || f.at["h0"].Host("h1") != nil {
		t.Errorf("bad signature: %v", r)
	}
	f.keys.unknown["h1"] = true
	if r = f.pull("h0", "h1"); r.Refused != 1 || !errors.Is(r.Refusals[0].Err, ErrNoKey) {
		t.Errorf("no key: %v", r)
	}
	f.keys.unknown["h1"] = false
	if r = f.pull("h0", "h1"); r.Taken != 1 {
		t.Errorf("with the key: %v", r)
	}
}

func TestOneBadRecordSpoilsNoOther(t *testing.T) {
	f := newFleet(t, 3)
	f.pull("h1", "h0")
	d := f.at["h1"].Delta(f.now, &Digest{}, MaxDelta)
	b := d.Encode()
	// The first record's payload loses its last byte's meaning: the signature no
	// longer fits, the other part does.
	i := len(d.Parts[0].Records[0].Bytes()) - SignatureSize
	b[2+1+len("h0")+1+1+1+1+2+i-1] ^= 1
	read, err := DecodeDelta(b)
	if err != nil {
		t.Fatal(err)
	}
	r := f.at["h2"].Merge(f.now, read)
	if r.Taken != 1 || r.Refused != 1 || f.at["h2"].Host("h1") == nil || f.at["h2"].Host("h0") != nil {
		t.Fatal(r)
	}
}

func TestOldRecordsAreIgnored(t *testing.T) {
	f := newFleet(t, 2)
	old := f.at["h0"].Delta(f.now, &Digest{}, MaxDelta)
	f.publish("h0", HostUpdate(Host{Agent: "2.0.0", Protocols: Protocols{1, 1}}))
	f.pull("h1", "h0")
	if r := f.tell("h1", old); r.Taken != 0 || f.at["h1"].Host("h0").Agent != "2.0.0" {
		t.Error("an older seq was taken", r)
	}
	f.must(f.at["h0"].Restart(f.now, 2, f.keys.signer("h0")))
	f.pull("h1", "h0")
	if r := f.tell("h1", old); r.Taken != 0 {
		t.Error("an older epoch was taken", r)
	}
}

func TestRestartMakesNothingVanish(t *testing.T) {
	f := newFleet(t, 2, "web", "api")
	f.publish("h0", ServiceUpdate("web", one(Healthy)), ServiceUpdate("api", one(Healthy)))
	f.pull("h1", "h0")
	f.must(f.at["h0"].Start(f.now, 2, []Update{HostUpdate(plainHost), ServiceUpdate("web", one(Starting))}, f.keys.signer("h0")))
	whole := f.at["h0"].Delta(f.now, f.at["h1"].Digest(f.now), MaxDelta)
	half := &Delta{Parts: []Part{{Owner: "h0", Epoch: 2, Records: whole.Parts[0].Records[:1]}}}
	f.tell("h1", half)
	for _, service := range []string{"web", "api"} {
		if f.at["h1"].Record("h0", Key{KindService, service}) == nil {
			t.Errorf("%s vanished in the middle of a restart", service)
		}
	}
	f.tell("h1", whole)
	if f.at["h1"].Record("h0", Key{KindService, "api"}) != nil {
		t.Error("api is still there after the restart")
	}
	if got := f.at["h1"].Record("h0", Key{KindService, "web"}); got.Service().Instances[0].Health != Starting {
		t.Error("web is the old one")
	}
}

func TestLeftoversEnd(t *testing.T) {
	f := newFleet(t, 2, "web")
	f.publish("h0", ServiceUpdate("web", one(Healthy)))
	f.pull("h1", "h0")
	f.must(f.at["h0"].Start(f.now, 2, []Update{HostUpdate(plainHost), ServiceUpdate("api", one(Healthy))}, f.keys.signer("h0")))
	whole := f.at["h0"].Delta(f.now, &Digest{}, MaxDelta)
	f.tell("h1", &Delta{Parts: []Part{{Owner: "h0", Epoch: 2, Records: whole.Parts[0].Records[:1]}}})
	f.at["h1"].Tick(f.now.Add(LeftoverLife))
	if f.at["h1"].Record("h0", Key{KindService, "web"}) == nil {
		t.Error("gone too early")
	}
	f.at["h1"].Tick(f.now.Add(LeftoverLife + time.Second))
	if f.at["h1"].Record("h0", Key{KindService, "web"}) != nil {
		t.Error("still there")
	}
}

func TestLostDataIsFoundInPeers(t *testing.T) {
	f := newFleet(t, 2)
	f.must(f.at["h0"].Restart(f.now, 9, f.keys.signer("h0")))
	f.pull("h1", "h0")
	f.at["h0"] = catalogOf("h0", f.keys, f.config)
	r := f.pull("h0", "h1")
	if r.Rival != 9 {
		t.Fatalf("the highest epoch seen is 9, told was %d", r.Rival)
	}
	f.must(f.at["h0"].Start(f.now, r.Rival+1, []Update{HostUpdate(Host{Agent: "new", Protocols: Protocols{1, 1}})}, f.keys.signer("h0")))
	f.pullAll()
	f.same()
	if f.at["h1"].Host("h0").Agent != "new" {
		t.Fatal("h1 keeps what was lost")
	}
}

func TestRivalWithTheSameStamp(t *testing.T) {
	f := newFleet(t, 3)
	thief := catalogOf("h0", f.keys, f.config)
	f.must(thief.Start(f.now, 1, []Update{HostUpdate(Host{Agent: "thief", Protocols: Protocols{1, 1}})}, f.keys.signer("h0")))
	f.tell("h1", thief.Delta(f.now, &Digest{}, MaxDelta))
	f.pull("h2", "h0")
	r1, r2 := f.pull("h1", "h2"), f.pull("h2", "h1")
	if len(r1.Conflicts)+len(r2.Conflicts) == 0 {
		t.Error("nobody told the conflict")
	}
	if state(f.at["h1"]) != state(f.at["h2"]) {
		// h1 and h2 know each other by now, too
		t.Errorf("two agents keep two truths:\n%s\n%s", state(f.at["h1"]), state(f.at["h2"]))
	}
	r := f.at["h0"].Merge(f.now, thief.Delta(f.now, &Digest{}, MaxDelta))
	if r.Rival != 1 {
		t.Fatalf("rival %d", r.Rival)
	}
	f.must(f.at["h0"].Restart(f.now, 2, f.keys.signer("h0")))
	f.pullAll()
	f.same()
	if f.at["h2"].Host("h0").Agent != plainHost.Agent {
		t.Fatal("the thief is believed")
	}
}

func TestForgersMoveNobody(t *testing.T) {
	f := newFleet(t, 2)
	f.keys.number["h0"] = 3
	forged := catalogOf("h0", f.keys, f.config)
	f.must(forged.Start(f.now, 50, []Update{HostUpdate(plainHost)}, f.keys.signer("h0")))
	f.keys.number["h0"] = 0
	if r := f.tell("h0", forged.Delta(f.now, &Digest{}, MaxDelta)); r.Rival != 0 || r.Refused != 1 {
		t.Fatal(r)
	}
}

func TestAnotherKey(t *testing.T) {
	for _, revoked := range []bool{false, true} {
		f := newFleet(t, 3, "web")
		f.must(f.at["h0"].Restart(f.now, 99, f.keys.signer("h0")))
		f.publish("h0", ServiceUpdate("web", one(Healthy)))
		f.pullAll()
		f.keys.number["h0"] = 1
		f.at["h1"].Rekey(f.now, "h0", revoked)
		if shown := f.at["h1"].Record("h0", Key{KindService, "web"}) != nil; shown == revoked {
			t.Errorf("revoked %t: shown %t", revoked, shown)
		}
		if d := f.at["h1"].Delta(f.now, &Digest{}, MaxDelta); len(d.Parts) != 2 {
			t.Error("records under the old key are relayed")
		}
		if r := f.pull("h1", "h2"); r.Refused == 0 {
			t.Error("a record under the old key is taken")
		}
		// A new machine with the old name begins at 1: what the old key said counts no more.
		f.at["h2"].Rekey(f.now, "h0", revoked)
		f.at["h0"] = catalogOf("h0", f.keys, f.config)
		f.must(f.at["h0"].Start(f.now, 1, []Update{HostUpdate(plainHost)}, f.keys.signer("h0")))
		f.pullAll()
		f.same()
		if f.at["h1"].Record("h0", Key{KindService, "web"}) != nil {
			t.Error("web is still shown")
		}
		f.at["h1"].Rekey(f.now, "h0", false)
		if s, _ := f.at["h1"].Status("h0"); s.Epoch != 1 || !s.Complete {
			t.Error("a key that did not change forgets", s)
		}
	}
}

func TestHostsThatAreNoLongerNamed(t *testing.T) {
	f := newFleet(t, 3)
	f.pullAll()
	f.at["h0"].Configure(configOf(f.names[:2]))
	if f.at["h0"].Host("h2") != nil {
		t.Error("h2 is still known")
	}
	if r := f.pull("h0", "h1"); r.Refused != 1 {
		t.Error("h2 comes back", r)
	}
}

func TestDocuments(t *testing.T) {
	f := newFleet(t, 3)
	document := Document{Version: 3, Hash: [32]byte{3}}
	f.publish("h1", HostUpdate(Host{Agent: "1", Protocols: Protocols{1, 1}, Document: document}))
	f.pull("h0", "h1")
	got := f.at["h0"].Documents()
	if len(got) != 2 || len(got[document]) != 1 || got[document][0] != "h1" || len(got[Document{}]) != 2 {
		t.Error(got)
	}
}

func TestOneOwnerCannotFillTheMemory(t *testing.T) {
	f := newFleet(t, 2)
	var updates []Update
	for i := range 400 {
		updates = append(updates, Update{Key: Key{Kind(9 + i), "x"}, Payload: make([]byte, 3000)})
	}
	if err := f.at["h0"].Publish(f.now, updates, f.keys.signer("h0")); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	d := &Delta{}
	for i, u := range updates {
		rec := &Record{Owner: "h0", Stamp: Stamp{1, uint64(i) + 2}, Key: u.Key, Last: uint64(i) + 2, At: f.now, Payload: u.Payload}
		f.must(rec.sign(f.keys.signer("h0")))
		d.Parts = append(d.Parts, Part{Owner: "h0", Epoch: 1, From: uint64(i) + 1, Records: []*Record{rec}})
	}
	f.tell("h1", d)
	if o := f.at["h1"].owners["h0"]; o.size > MaxOwner || o.size < MaxOwner-MaxRecord {
		t.Error(o.size)
	}
}

func TestPublish(t *testing.T) {
	f := newFleet(t, 1, "web")
	c, sign := f.at["h0"], f.keys.signer("h0")
	before, _ := c.Status("h0")
	f.must(c.Publish(f.now, []Update{HostUpdate(plainHost), Gone("web")}, sign))
	if after, _ := c.Status("h0"); after != before {
		t.Error("what stays as it is makes a record", after)
	}
	bad := errors.New("no key")
	err := c.Publish(f.now, []Update{ServiceUpdate("web", one(Healthy))}, func([]byte) ([]byte, error) { return nil, bad })
	if after, _ := c.Status("h0"); !errors.Is(err, bad) || after != before {
		t.Error(err, after)
	}
	for what, updates := range map[string][]Update{
		"a key twice":    {ServiceUpdate("web", one(Healthy)), Gone("web")},
		"no name":        {ServiceUpdate("", one(Healthy))},
		"a bad name":     {ServiceUpdate("Web", one(Healthy))},
		"no kind":        {{Key: Key{0, "x"}}},
		"a long text":    {HostUpdate(Host{Agent: string(make([]byte, 100)), Protocols: Protocols{1, 1}})},
		"a large record": {{Key: Key{9, "x"}, Payload: make([]byte, MaxRecord)}},
	} {
		if err := c.Publish(f.now, updates, sign); err == nil {
			t.Errorf("%s is published", what)
		}
	}
	if err := c.Start(f.now, 1, nil, sign); err == nil {
		t.Error("an epoch begins twice")
	}
	if err := New("h9", f.keys).Publish(f.now, nil, sign); err == nil {
		t.Error("published before the start")
	}
}
