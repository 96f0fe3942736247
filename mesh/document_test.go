package mesh_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/mesh"
)

// signs stands for a key: a signature is its name and the message's hash.
func signs(key string) mesh.Signer {
	return func(namespace string, message []byte) (string, error) {
		return fmt.Sprintf("%s %s %s", key, namespace, mesh.HashOf(message)), nil
	}
}

var errForged = errors.New("forged")

// verifies is the other half of signs; keys are "… AAAAKEY COMMENT".
func verifies(signature, namespace string, message []byte, keys []string) (string, error) {
	for _, line := range keys {
		_, key, _ := strings.Cut(line, "AAAA")
		if want, _ := signs(strings.Fields(key)[0])(namespace, message); signature == want {
			return line, nil
		}
	}
	return "", errForged
}

func signers() *mesh.Signers {
	return &mesh.Signers{
		Verify:  verifies,
		Keys:    map[string][]string{"anna": {"no-pty ed AAAAa1 laptop", "ed AAAAa2 token"}, "bert": {"no-pty ed AAAAb1"}, "carl": {"ed AAAAc1"}},
		Revoked: []string{"no-pty ed AAAAc1 old", "ed AAAAd1"},
	}
}

// signed is a document after another one, nil being none.
func signed(t testing.TB, live *mesh.Document, config *mesh.Config, operator, key string) *mesh.Document {
	t.Helper()
	d := mesh.NextDocument(live, config, operator)
	if err := d.Sign(signs(key)); err != nil {
		t.Fatal(err)
	}
	return d
}

func sampleDocument(t testing.TB) *mesh.Document {
	t.Helper()
	d := mesh.NextDocument(signed(t, nil, sample(), "anna", "a1"), sample(), "bert")
	d.Release = 45
	if err := d.Sign(signs("b1")); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParseDocumentReadsWhatCanonicalWrites(t *testing.T) {
	t.Parallel()
	want := sampleDocument(t)
	text := want.Canonical()
	got, err := mesh.ParseDocument(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := got.Canonical(); !bytes.Equal(again, text) || got.Hash() != mesh.HashOf(got.Signed()) {
		t.Errorf("written %s\nagain   %s", text, again)
	}
	if !bytes.Contains(text, append([]byte(`"config":`), sample().Canonical()...)) {
		t.Errorf("the configuration's own text does not stand in %s", text)
	}
}

// Who signs the same text again, as a hardware key does with other bytes each
// time, has made the same document.
func TestHashIsOfTheSignedText(t *testing.T) {
	t.Parallel()
	d := sampleDocument(t)
	before := d.Hash()
	d.Signature += " again"
	if d.Hash() != before || bytes.Contains(d.Signed(), []byte("signature")) {
		t.Error("the signature is part of what is signed")
	}
	d.Release++
	if d.Hash() == before {
		t.Error("the release is not signed")
	}
}

func TestGoingBackIsANewVersion(t *testing.T) {
	t.Parallel()
	first := signed(t, nil, sample(), "anna", "a1")
	changed := sample()
	changed.Authorization = mesh.Explicit
	second := signed(t, first, changed, "anna", "a1")
	third := signed(t, second, first.Config, "bert", "b1")
	if third.Version != 3 || third.Parent != second.Hash() || third.Config.Hash() != first.Config.Hash() || third.Hash() == first.Hash() {
		t.Errorf("%+v", third)
	}
}

// Members of the envelope that this release does not know are signed and kept.
func TestUnknownMembersOfADocumentAreKept(t *testing.T) {
	t.Parallel()
	d := sampleDocument(t)
	text := []byte(strings.Replace(string(d.Canonical()), `"version":2}`, `"version":2,"wave":{"of":[1,null,"x"]}}`, 1))
	got, err := mesh.ParseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Canonical(), text) || !bytes.Contains(got.Signed(), []byte(`"wave"`)) || got.Hash() == d.Hash() {
		t.Errorf("%s", got.Canonical())
	}
}

func TestParseDocumentRefuses(t *testing.T) {
	t.Parallel()
	text := string(sampleDocument(t).Canonical())
	parent := signed(t, nil, sample(), "anna", "a1").Hash()
	for _, c := range []struct{ old, new, want string }{
		{`"schema":"nixmesh.document/1"`, `"schema":"nixmesh.document/2"`, `schema: "nixmesh.document/2" is of a newer nixmesh; this one reads "nixmesh.document/1"`},
		{`"schema":"nixmesh.document/1"`, `"schema":"nixmesh.mesh/1"`, `schema: "nixmesh.mesh/1" is not "nixmesh.document/1"`},
		{`"schema":"nixmesh.mesh/1"`, `"schema":"nixmesh.mesh/2"`, `config.schema: "nixmesh.mesh/2" is of a newer nixmesh`},
		{`"address":"10.0.0.21"`, `"address":"10.0.0.0.21"`, `config.hosts.app1.address: "10.0.0.0.21" is not an IP address`},
		{`"operator":"bert"`, `"operator": "bert"`, "not in canonical form from byte"},
		{`"operator":"bert"`, `"operator":"Bert"`, `operator: "Bert" is not a name`},
		{`"operator":"bert",`, ``, `"operator" is missing`},
		{`"version":2}`, `"version":0}`, "version: 0 is not from 1"},
		{`"version":2}`, `"version":2.5}`, "version: want a whole number"},
		{`"version":2}`, `"version":1}`, "parent: the first version has none"},
		{`"version":2}`, `"version":9007199254740992}`, "version: 9007199254740992 is not from 1 to 9007199254740991"},
		{`"parent":"` + parent, `"parent":"` + strings.ToUpper(parent), "is not a hash"},
		{`"parent":"` + parent + `",`, ``, `parent: "" is not a hash`},
		{`"release":45`, `"release":-45`, "release: -45 is not the number of a release"},
		{`"release":45`, `"release":0`, "release: leave it out where it is empty"},
		{`"fleet":"shop","operator"`, `"fleet":"shoe","operator"`, `fleet: "shoe", and the configuration is of "shop"`},
		{`"signature":"b1 `, `"signature":"` + strings.Repeat("b1", 10000) + ` `, "signature: 20"},
	} {
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Errorf("%s is not in the text", c.old)
		}
		if _, err := mesh.ParseDocument([]byte(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s\ngot  %v\nwant %s", c.new, err, c.want)
		}
	}
	for _, text := range []string{`null`, `[]`, `{}`, `{"schema":"nixmesh.document/1"}`, `{"config":{"schema":"nixmesh.mesh/1"},"schema":"nixmesh.document/1"}`, strings.Repeat(" ", mesh.MaxSize+1)} {
		if _, err := mesh.ParseDocument([]byte(text)); err == nil {
			t.Errorf("%.20s is taken", text)
		}
	}
}

func TestSignRefusesWhatNobodyWouldTake(t *testing.T) {
	t.Parallel()
	broken := sample()
	broken.Hosts["app1"].Address = "app1"
	locked := func(string, []byte) (string, error) { return "", errors.New("the agent is locked") }
	large := sample()
	large.Gateways["public"].Routes[1].Respond.Body = strings.Repeat("x", mesh.MaxSize)
	for _, c := range []struct {
		document *mesh.Document
		sign     mesh.Signer
		want     string
	}{
		{mesh.NextDocument(nil, broken, "anna"), signs("a1"), "sign mesh document: config.hosts.app1.address"},
		{mesh.NextDocument(nil, sample(), ""), signs("a1"), `operator: "" is not a name`},
		{mesh.NextDocument(nil, sample(), "anna"), locked, "sign mesh document: the agent is locked"},
		{mesh.NextDocument(nil, sample(), "anna"), func(string, []byte) (string, error) { return "", nil }, "0 bytes are no signature"},
		{mesh.NextDocument(nil, large, "anna"), signs("a1"), "at most 16777216 are taken"},
	} {
		if err := c.document.Sign(c.sign); err == nil || !strings.Contains(err.Error(), c.want) || c.document.Signature != "" {
			t.Errorf("got %v, want %s; signature %q", err, c.want, c.document.Signature)
		}
	}
}

func TestSigners(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, operator, key, want string }{
		{"a key of the operator", "anna", "a1", ""},
		{"another one of them", "anna", "a2", ""},
		{"a key that is nobody's", "anna", "x1", "forged"},
		{"an operator whom the host does not know", "emil", "a1", "the signature is another operator's: the document names emil, the key is one of anna"},
		{"in another's name", "anna", "b1", "the document names anna, the key is one of bert"},
		{"a key that was removed, and came back with a generation", "carl", "c1", "the key was removed from the fleet: it was one of carl"},
		{"a key that was removed with its operator", "dora", "d1", "the key was removed from the fleet: it was one of dora"},
		{"a removed key in the name of one who stayed", "anna", "d1", "the key was removed"},
	} {
		err := signers().Check(signed(t, nil, sample(), c.operator, c.key))
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	d := signed(t, nil, sample(), "anna", "a1")
	d.Config.Authorization = mesh.Explicit
	if err := signers().Check(d); !errors.Is(err, errForged) {
		t.Errorf("contents that changed after signing: %v", err)
	}
}

// What ParseDocument takes, Canonical writes again, to the byte, and the text
// without its signature is what was signed.
func FuzzParseDocument(f *testing.F) {
	f.Add(sampleDocument(f).Canonical())
	f.Add([]byte(`{"config":{"schema":"nixmesh.mesh/1","services":{"a":null}},"schema":"nixmesh.document/1"}`))
	f.Add([]byte(`{"config":null,"schema":"nixmesh.document/1","version":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := mesh.ParseDocument(text)
		if err != nil {
			return
		}
		if again := d.Canonical(); !bytes.Equal(again, text) {
			t.Fatalf("got  %s\nfrom %s", again, text)
		}
		var tree map[string]any
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatal(err)
		}
		delete(tree, "signature")
		rest, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := mesh.Canonicalize(rest); err != nil || !bytes.Equal(d.Signed(), want) {
			t.Errorf("signed is %s\nwant      %s %v", d.Signed(), want, err)
		}
	})
}
