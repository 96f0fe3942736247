package rollback

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// nixKey is a public key in Nix's form NAME:BASE64.
type nixKey struct {
	name string
	key  ed25519.PublicKey
	text string
}

// parseNixKeys reads a list of keys, one a line; lines that are none are
// skipped, as a key that we cannot use must not lock the others out.
func parseNixKeys(text string) []nixKey {
	var keys []nixKey
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		name, b64, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(b64))
		if err != nil || len(raw) != ed25519.PublicKeySize {
			continue
		}
		keys = append(keys, nixKey{name: name, key: ed25519.PublicKey(raw), text: line})
	}
	return keys
}

// deployers are the nix keys that may bring a toplevel to this host: those of
// a generation, minus the ones that this host remembers as removed.
func (h *helper) deployers(toplevel string) ([]nixKey, error) {
	revoked, err := h.revoked()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(parseNixKeys(h.text(toplevel+hostfacts.DeployersPath)), func(k nixKey) bool {
		return slices.Contains(revoked, hostfacts.NixKey(k.text))
	}), nil
}

// checkSignature demands a deployer's signature over Nix's fingerprint of a
// path, whose hash, size and references this host's own store names. That the
// path is valid proves nothing: anybody may add content-addressed paths.
func (h *helper) checkSignature(ctx context.Context, toplevel string, keys []nixKey, signatures []string) error {
	if len(keys) == 0 {
		return refuse(CodeSignature, "", "this host knows no deployer's nix key (%s)", hostfacts.DeployersPath)
	}
	print, err := h.fingerprint(ctx, toplevel)
	if err != nil {
		return err
	}
	var signers []string
	for _, s := range signatures {
		name, b64, _ := strings.Cut(s, ":")
		signers = append(signers, name)
		sig, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			continue
		}
		for _, k := range keys {
			if k.name == name && ed25519.Verify(k.key, []byte(print), sig) {
				return nil
			}
		}
	}
	known := make([]string, len(keys))
	for i, k := range keys {
		known[i] = k.name
	}
	return refuse(CodeSignature, "deploy with the key of an operator who is in this host's generation",
		"%s has no good signature of a deployer: signed by %s, this host accepts %s",
		path.Base(toplevel), orNobody(signers), joinMax(known, 5))
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return joinMax(names, 5)
}

// fingerprint is what Nix signs: 1;PATH;NARHASH;NARSIZE;REFERENCES.
func (h *helper) fingerprint(ctx context.Context, p string) (string, error) {
	var fields []string
	for _, q := range []string{"--hash", "--size", "--references"} {
		out, err := h.runTool(ctx, nil, "nix-store", "--query", q, p)
		if err != nil {
			return "", fmt.Errorf("ask the store about %s: %w", path.Base(p), err)
		}
		fields = append(fields, out)
	}
	references := strings.Fields(fields[2])
	slices.Sort(references)
	return fmt.Sprintf("1;%s;%s;%s;%s", p, fields[0], fields[1], strings.Join(references, ",")), nil
}
