package trust

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// testHost is a host with its SSH key, as the lock pins it.
type testHost struct {
	name   string
	key    SSHKey
	pinned string
	node   NodeKey
}

func newTestHost(t testing.TB, name string) testHost {
	t.Helper()
	key := must(GenerateSSHKey(""))(t)
	return testHost{name, key, key.Authorized, must(GenerateNodeKey())(t)}
}

func (h testHost) cert(t testing.TB, now time.Time) NodeCert {
	t.Helper()
	return must(NewNodeCert(h.key.Signer, h.name, h.node.Public(), nil, now))(t)
}

func TestNodeCertIsTheHosts(t *testing.T) {
	db1, db2 := newTestHost(t, "db1"), newTestHost(t, "db2")
	c := db1.cert(t, testNow.Add(time.Millisecond))
	got := must(ParseNodeCert(c.Text()))(t)
	if got != c || got.Host != "db1" || got.Key != db1.node.Public() || !got.Created.Equal(testNow) {
		t.Errorf("came back as %+v", got)
	}
	if err := got.Verify("db1", db1.pinned); err != nil {
		t.Error(err)
	}
	release, _ := Sign(db1.key.Signer, NamespaceRelease, c.message())
	moved := c
	moved.signature = release
	renamed := c
	renamed.Host = "db2"
	rekeyed := c
	rekeyed.Key = db2.node.Public()
	redated := c
	redated.Created = redated.Created.Add(time.Hour)
	for name, test := range map[string]struct {
		cert         NodeCert
		host, pinned string
		want         error
	}{
		"another host's name":    {c, "db2", db1.pinned, ErrNodeCert},
		"another host's key":     {c, "db1", db2.pinned, ErrNotAllowed},
		"host key changed":       {c, "db1", newTestHost(t, "db1").pinned, ErrNotAllowed},
		"no host key pinned":     {c, "db1", "", ErrNodeCert},
		"pinned key is none":     {c, "db1", "ssh-ed25519 AAAA", ErrNotAllowed},
		"another namespace":      {moved, "db1", db1.pinned, ErrNamespace},
		"host put in its place":  {renamed, "db2", db1.pinned, ErrBad},
		"key put in its place":   {rekeyed, "db1", db1.pinned, ErrBad},
		"later than it was made": {redated, "db1", db1.pinned, ErrBad},
	} {
		if err := test.cert.Verify(test.host, test.pinned); !errors.Is(err, test.want) || !errors.Is(err, ErrNodeCert) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestSSHKeygenVerifiesANodeCert(t *testing.T) {
	h := newTestHost(t, "db1")
	c := h.cert(t, testNow)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "allowed"), []byte("db1 "+h.pinned+"\n"), 0o600)
	os.WriteFile(filepath.Join(dir, "sig"), []byte(c.signature), 0o600)
	if out, err := keygen(t, string(c.message()), "-Y", "verify", "-f", filepath.Join(dir, "allowed"), "-I", "db1", "-n", NamespaceNode, "-s", filepath.Join(dir, "sig")); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestParseNodeCertIsStrict(t *testing.T) {
	text := string(newTestHost(t, "db1").cert(t, testNow).Text())
	for name, bad := range map[string]string{
		"empty":         "",
		"another kind":  strings.Replace(text, "cert 1", "cert 2", 1),
		"host":          strings.Replace(text, "host db1", "host ../x", 1),
		"no host":       strings.Replace(text, "host db1\n", "", 1),
		"key":           strings.Replace(text, "key ed25519:", "key rsa:", 1),
		"time zone":     strings.Replace(text, "00Z", "00+00:00", 1),
		"fraction":      strings.Replace(text, "00Z", "00.5Z", 1),
		"no time":       strings.Replace(text, "2026", "soon", 1),
		"two lines":     strings.Replace(text, "host db1\n", "host db1\nhost db1\n", 1),
		"returns":       strings.ReplaceAll(text, "\n", "\r\n"),
		"after":         text + "\n",
		"before":        "\n" + text,
		"no signature":  strings.Split(text, sigBegin)[0],
		"cut off":       text[:len(text)-30],
		"other columns": strings.Replace(text, sigBegin+"\n", sigBegin+"\n\n", 1),
		"huge":          text + strings.Repeat("x", maxNodeCert),
	} {
		if _, err := ParseNodeCert([]byte(bad)); !errors.Is(err, ErrNodeCert) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewestNodeCertWins(t *testing.T) {
	h := newTestHost(t, "db1")
	first := h.cert(t, testNow)
	other := must(GenerateNodeKey())(t)
	behind := must(NewNodeCert(h.key.Signer, "db1", other.Public(), &first, testNow.Add(-day)))(t)
	if !behind.Newer(first) || first.Newer(behind) {
		t.Error("a clock that went back made an older certificate")
	}
	var book NodeBook
	if err := book.Admit(first, "db1", h.pinned); err != nil {
		t.Error(err)
	}
	if err := book.Admit(first, "db1", h.pinned); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := book.Admit(behind, "db1", h.pinned); err != nil {
		t.Error(err)
	}
	if err := book.Admit(first, "db1", h.pinned); !errors.Is(err, ErrNodeOld) {
		t.Errorf("the replaced one: %v", err)
	}
	lost := must(NewNodeCert(h.key.Signer, "db1", other.Public(), nil, testNow.Add(-2*day)))(t)
	if err := book.Admit(lost, "db1", h.pinned); err != nil {
		t.Errorf("an older one of the same key: %v", err)
	}
	again := must(ParseNodeBook(book.Text()))(t)
	if got, ok := again.Of("db1", h.pinned); !ok || got != behind {
		t.Errorf("kept %+v", got)
	}
	fresh := newTestHost(t, "db1")
	if _, ok := again.Of("db1", fresh.pinned); ok {
		t.Error("a changed host key revokes nothing")
	}
	if err := again.Admit(behind, "db1", fresh.pinned); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("of the former host key: %v", err)
	}
	if err := again.Admit(fresh.cert(t, testNow.Add(-day)), "db1", fresh.pinned); err != nil {
		t.Errorf("an older one of the new host key: %v", err)
	}
	again.Keep(func(host string) bool { return host != "db1" })
	if len(again.Text()) != 0 {
		t.Error("a host that is gone stays in the book")
	}
}

func TestNodeBookIsStrict(t *testing.T) {
	a, b := newTestHost(t, "a").cert(t, testNow).Text(), newTestHost(t, "b").cert(t, testNow).Text()
	join := func(texts ...[]byte) []byte { return bytes.Join(texts, nil) }
	if book, err := ParseNodeBook(join(a, b)); err != nil || !bytes.Equal(book.Text(), join(a, b)) {
		t.Errorf("good: %v", err)
	}
	for name, bad := range map[string][]byte{"order": join(b, a), "twice": join(a, a), "cut": join(a, b[:50]), "junk": join(a, []byte("x"))} {
		if _, err := ParseNodeBook(bad); !errors.Is(err, ErrNodeCert) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNodeSignatureServesOnePurpose(t *testing.T) {
	key, thief := must(GenerateNodeKey())(t), must(GenerateNodeKey())(t)
	key = must(ParseNodeKey(must(key.Secret())(t)))(t)
	if got, err := ParseNodePublic(key.Public().String()); got != key.Public() || err != nil {
		t.Errorf("public key: %v", err)
	}
	purposes := []Purpose{PurposeRecord, PurposeDigest, PurposeOverride, PurposeCertificate}
	rapid.Check(t, func(rt *rapid.T) {
		message := rapid.SliceOf(rapid.Byte()).Draw(rt, "message")
		made, asked := rapid.SampledFrom(purposes).Draw(rt, "made for"), rapid.SampledFrom(purposes).Draw(rt, "asked for")
		sig := key.Sign(made, message)
		if err := key.Public().Verify(asked, message, sig); (err == nil) != (made == asked) {
			rt.Fatalf("made for %s, asked for %s: %v", made, asked, err)
		}
		if key.Public().Verify(made, append(bytes.Clone(message), 0), sig) == nil || thief.Public().Verify(made, message, sig) == nil {
			rt.Fatal("another message or key passes")
		}
		if key.Public().Verify(made, message, sig[:len(sig)-1]) == nil || key.Public().Verify(made, message, nil) == nil {
			rt.Fatal("a cut signature passes")
		}
	})
	if _, err := ParseNodeKey(must(newTestAuthority(t, must(NewRoot("shop", testNow))(t), "db1", testNow).Secret())(t)); !errors.Is(err, ErrForm) {
		t.Errorf("an authority's key: %v", err)
	}
}
