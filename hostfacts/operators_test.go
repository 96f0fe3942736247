package hostfacts_test

import (
	"slices"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
)

func TestKeysOfTheRevokedList(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"ssh-ed25519 AAAAC3 anna@laptop":              "ssh-ed25519 AAAAC3",
		`from="10.0.0.1",no-pty ssh-ed25519 AAAAC3 a`: "ssh-ed25519 AAAAC3",
		"  sk-ssh-ed25519@openssh.com\tAAAAG":         "sk-ssh-ed25519@openssh.com AAAAG",
		"AAAAC3":                                      "",
		"":                                            "",
		"nobody":                                      "",
	} {
		if got := hostfacts.SigningKey(line); got != want {
			t.Errorf("signing key of %q: got %q, want %q", line, got, want)
		}
	}
	for text, want := range map[string]string{"anna-1:abc=": "nix abc=", "b:abc=\n": "nix abc=", "abc=": "", "a:": "", "a:b c": ""} {
		if got := hostfacts.NixKey(text); got != want {
			t.Errorf("nix key of %q: got %q, want %q", text, got, want)
		}
	}
	keys := []string{"ssh-ed25519 AAAAC3", "nix abc=", "ssh-ed25519 AAAAC3"}
	text := hostfacts.FormatRevoked(keys)
	if string(text) != "nix abc=\nssh-ed25519 AAAAC3\n" {
		t.Errorf("the list is %q", text)
	}
	back := hostfacts.ParseRevoked(append([]byte("# who left\n\nword\nssh-ed25519 AAAAC4 carl, by hand\n"), text...))
	if want := []string{"ssh-ed25519 AAAAC4", "nix abc=", "ssh-ed25519 AAAAC3"}; !slices.Equal(back, want) {
		t.Errorf("read back: got %q, want %q", back, want)
	}
}
