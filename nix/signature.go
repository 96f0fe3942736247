package nix

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Signer signs a fingerprint: NAME:BASE64. trust.NixKey is one.
type Signer interface {
	Sign(fingerprint string) string
}

// Fingerprint is what a signature of a store path covers:
// 1;<path>;sha256:<NAR hash in base 32>;<NAR size>;<references, comma-separated>.
// It is "" where the info has no usable hash.
func Fingerprint(i PathInfo) string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(i.NarHash, "sha256-"))
	if err != nil || len(raw) != 32 {
		return ""
	}
	refs := append([]string(nil), i.References...)
	sort.Strings(refs)
	return fmt.Sprintf("1;%s;sha256:%s;%d;%s", i.Path, nix32(raw), i.NarSize, strings.Join(refs, ","))
}

// SignPath signs a path: the same bytes as `nix store sign` makes.
func SignPath(key Signer, i PathInfo) string { return key.Sign(Fingerprint(i)) }

// VerifyPath says whether a public key NAME:BASE64 made a signature
// NAME:BASE64 over a path.
func VerifyPath(publicKey, signature string, i PathInfo) bool {
	name, key, ok := strings.Cut(publicKey, ":")
	signer, sig, ok2 := strings.Cut(signature, ":")
	fingerprint := Fingerprint(i)
	if !ok || !ok2 || name != signer || fingerprint == "" {
		return false
	}
	k, err := base64.StdEncoding.DecodeString(key)
	s, err2 := base64.StdEncoding.DecodeString(sig)
	return err == nil && err2 == nil && len(k) == ed25519.PublicKeySize && ed25519.Verify(k, []byte(fingerprint), s)
}

// Sign signs the closures of paths in the local store with a secret key file.
func (t *Tool) Sign(ctx context.Context, keyFile string, paths ...string) error {
	if len(paths) == 0 {
		return nil
	}
	args := append(t.nix("store", "sign", "--recursive", "--key-file", keyFile), paths...)
	_, err := t.run(ctx, call{doing: "sign store paths", args: args})
	return err
}

// asError is errors.As for *Error.
func asError(err error, e **Error) bool { return errors.As(err, e) }
