package controlplane

import (
	"context"
	"crypto/ed25519"
	"os"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// alone is a fleet of two hosts of which one has an agent that was not started,
// and the document in force there.
func alone(f *testing.F) (*world, *Agent) {
	f.Helper()
	w := newWorld(f, f.TempDir(), 2)
	w.appoint("h000")
	w.hosts["h000"].writeFacts()
	a, err := New(w.hosts["h000"].options())
	if err != nil {
		f.Fatal(err)
	}
	d := w.sign("anna", nil, nil)
	if got := a.Apply(context.Background(), d.Canonical(), api.Peer{}); got.Result != agentapi.ApplyInForce {
		f.Fatalf("%+v", got)
	}
	w.document = d
	return w, a
}

// Whatever a state file holds, the agent starts, and serves what another file
// still has.
func FuzzStateFiles(f *testing.F) {
	w, a := alone(f)
	if err := a.Stop(context.Background()); err != nil {
		f.Fatal(err)
	}
	m := w.hosts["h000"]
	names := []string{fileEpoch, fileDocument, fileCatalog, fileNodes, filePoison, fileTrying}
	for i, name := range names {
		if content, err := os.ReadFile(m.state(name)); err == nil {
			f.Add(i, false, content)
			f.Add(i, true, content[min(sealSize, len(content)):])
		}
	}
	f.Add(0, true, []byte("18446744073709551615\n"))
	f.Add(5, true, []byte(`[{"what":"document","hash":"","boot":"0","deaths":-1}]`))
	good := w.document.Canonical()
	f.Fuzz(func(t *testing.T, which int, sealed bool, content []byte) {
		w.t = t
		if err := os.RemoveAll(m.file("state")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(m.file("state"), 0o700); err != nil {
			t.Fatal(err)
		}
		m.write(fileDocument, string(seal(good)))
		if sealed {
			content = seal(content)
		}
		name := names[uint(which)%uint(len(names))]
		m.write(name, string(content))
		a, err := New(m.options())
		if err != nil {
			t.Fatal(err)
		}
		a.publish()
		if name != fileDocument && a.Ready() != nil {
			t.Errorf("a damaged %s keeps it from serving", name)
		}
		if s := a.Status(); len(s.Hosts) == 0 {
			t.Errorf("%+v", s)
		}
		if n := a.poison.survived(); n != 0 {
			t.Errorf("%d panics", n)
		}
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Whatever is brought, the agent refuses it or acts on what an operator signed.
func FuzzBrought(f *testing.F) {
	w, a := alone(f)
	good := w.document.Canonical()
	f.Add(uint8(0), good)
	f.Add(uint8(0), good[:len(good)/2])
	override, err := catalog.Seal(catalog.Override{Kind: catalog.Drain, Host: "h001", Stamp: catalog.HLC{}.After(time.Now(), "anna"), Life: time.Hour},
		func([]byte) ([]byte, error) { return make([]byte, ed25519.SignatureSize), nil })
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(1), override.Bytes())
	f.Add(uint8(2), w.root.Certificate.Raw)
	f.Add(uint8(3), []byte(`["h001"]`))
	f.Add(uint8(4), []byte(`{"Body":"e30=","Signature":""}`))
	f.Add(uint8(5), []byte(w.document.Hash()))
	f.Add(uint8(6), w.said("h001", w.hosts["h001"].node, 7, catalog.Healthy).Encode())
	if err := a.nodes.Admit("h001", w.hosts["h001"].cert); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		ctx := context.Background()
		switch kind % 7 {
		case 0:
			if got := a.Apply(ctx, body, api.Peer{}); got.Result == agentapi.ApplyInForce && string(body) != string(good) {
				t.Errorf("%+v", got)
			}
		case 1:
			if a.Override(ctx, body, api.Peer{}) == nil {
				t.Error("an override that nobody signed")
			}
		case 2:
			if a.InstallAuthority(body) == nil {
				t.Error("an intermediate that nobody signed")
			}
		case 3:
			_, _ = a.serveNodes(ctx, "h001", body)
		case 4:
			_, _ = a.serveIssue(ctx, "h001", body)
		case 5:
			if text, err := a.serveDocument(ctx, "h001", body); err == nil && string(text) != string(good) {
				t.Errorf("another document: %.80q", text)
			}
		case 6:
			if d, err := catalog.DecodeDelta(body); err == nil {
				a.live.Merge(time.Now(), "h001", d)
			}
		}
		if n := a.poison.survived(); n != 0 {
			t.Errorf("%d panics", n)
		}
		if got := a.documents.live.Load().link.Hash; got != w.document.Hash() {
			t.Errorf("it acts on %s", got)
		}
	})
}
