package delta

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

func TestClean(t *testing.T) {
	pem := "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\nAwEHBG0wawIB\n-----END PRIVATE KEY-----\n"
	secret := &xds.Resource{Key: xds.Key{Type: xds.Secret, Name: "svc:api"}, Body: []byte("svc:api\n\x12" + pem + "token hunter2-hunter2")}
	listener := &xds.Resource{Key: xds.Key{Type: xds.Listener, Name: "in:mtls"}}
	for _, c := range []struct {
		what string
		r    *xds.Resource
		text string
		want string
	}{
		{"as it is", listener, "Error adding/updating listener(s) in:mtls: missing ): (\n", "Error adding/updating listener(s) in:mtls: missing ): ("},
		{"the name of a secret", secret, "Failed to load private key for svc:api from <inline>", "Failed to load private key for svc:api from <inline>"},
		{"PEM", listener, "no good: " + pem + " at all", "no good: […] at all"},
		{"PEM without an end", nil, "no good: -----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49", "no good: […]"},
		{"a field", nil, `no: tls_certificate { private_key { inline_bytes: "\000\001abc" } }`, "no: tls_certificate { private_key { […]"},
		{"a field as JSON", nil, `no: {"privateKey":{"inlineString":"abc"}}`, `no: {"privateKey":{"[…]`},
		{"a part of the secret", secret, "unknown: token hunter2-hunter2!", "unknown: […]!"},
		{"base64", secret, "no: " + base64.StdEncoding.EncodeToString([]byte(pem)), "no: […]"},
		{"a long text in quotes", listener, `no: "` + strings.Repeat("x y ", 20) + `"`, `no: "[…]"`},
		{"control characters", listener, "a\x00b\x1b[31mc\r\nd", "a b [31mc d"},
	} {
		if got := clean(c.text, c.r); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	if got := clean(strings.Repeat("wörd ", 100_000), listener); len(got) > textMost || !strings.HasSuffix(got, "…") {
		t.Errorf("long text: %d bytes", len(got))
	}
}

// FuzzClean: whatever Envoy says, it is one bounded line, and the key is not in it.
func FuzzClean(f *testing.F) {
	key := "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"
	r := &xds.Resource{Key: xds.Key{Type: xds.Secret, Name: "svc:api"}, Body: []byte("svc:api" + key)}
	f.Add("no: ", " at all")
	f.Add("-----BEGIN", "\n")
	f.Add(`inline_string: "`, `"`)
	f.Fuzz(func(t *testing.T, before, after string) {
		got := clean(before+key+after, r)
		if len(got) > textMost || strings.ContainsAny(got, "\n\r\x00") {
			t.Errorf("%q", got)
		}
		if strings.Contains(got, key) {
			t.Errorf("the key is in %q", got)
		}
	})
}
