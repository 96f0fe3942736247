package trust

import (
	"bytes"
	"testing"
)

func FuzzParseNodeCert(f *testing.F) {
	h := newTestHost(f, "db1")
	f.Add(h.cert(f, testNow).Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseNodeCert(text)
		if err == nil && !bytes.Equal(c.Text(), text) {
			t.Errorf("%q is written %q", text, c.Text())
		}
	})
}

func FuzzParseNodeBook(f *testing.F) {
	f.Add(append(newTestHost(f, "a").cert(f, testNow).Text(), newTestHost(f, "b").cert(f, testNow).Text()...))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseNodeBook(text)
		if err == nil && !bytes.Equal(b.Text(), text) {
			t.Errorf("%q is written %q", text, b.Text())
		}
	})
}

func FuzzParseNodePublic(f *testing.F) {
	f.Add(newTestHost(f, "db1").node.Public().String())
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParseNodePublic(text); err == nil && p.String() != text {
			t.Errorf("%q is written %q", text, p)
		}
	})
}

// FuzzCertificates reads a text as everything that is kept or sent in PEM.
func FuzzCertificates(f *testing.F) {
	root, bundle := newTestRoot(f)
	a := newTestAuthority(f, root, "db1", testNow)
	leaf := newTestLeaf(f, a, "api", testNow)
	f.Add(bundle.PEM())
	f.Add(leaf.Chain.PEM())
	f.Add(must(leaf.Secret())(f))
	f.Add(must(a.Secret())(f))
	f.Add(must(root.Secret())(f))
	f.Add(must(must(NewAuthorityRequest("db1"))(f).Secret())(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		if b, err := ParseBundle(text, root.Domain); err == nil && len(b.PEM()) > len(text) {
			t.Error("a bundle grew")
		}
		if c, err := ParseChain(text); err == nil {
			if !bytes.Equal(c.PEM(), text) {
				t.Error("a chain is written in another way")
			}
			_, _ = bundle.Verify(c, testNow)
		}
		if l, err := ParseLeaf(text, root.Domain); err == nil {
			if again, err := l.Secret(); err != nil || len(again) == 0 {
				t.Errorf("a leaf cannot be written: %v", err)
			}
		}
		_, _ = ParseAuthority(text, "db1", root.Domain)
		_, _ = ParseAuthorityRequest(text, "db1")
		_, _ = ParseRoot(text)
		_, _ = ParseNodeKey(text)
		_, _ = root.SignAuthority(text, "db1", day, testNow)
	})
}

func FuzzParseRequest(f *testing.F) {
	f.Add(must(NewLeafKey("api"))(f).Request)
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, key, err := parseRequest(raw)
		if (err == nil) != (key != nil) {
			t.Errorf("key %v, error %v", key, err)
		}
	})
}
