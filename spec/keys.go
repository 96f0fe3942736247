package spec

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// sshKey reads an authorized_keys line without options: "TYPE BASE64 [comment]".
// The result is "TYPE BASE64". Types are those that allowed lists, and the inner
// form must agree (RFC 4253 6.6, RFC 8709, OpenSSH PROTOCOL.u2f).
func sshKey(line string, allowed ...string) (string, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 || strings.ContainsAny(line, "\r\n") {
		return "", errors.New("the text is not a public key: TYPE BASE64 [comment]")
	}
	if !slices.Contains(allowed, fields[0]) {
		return "", fmt.Errorf("the key is of type %s; use %s", fields[0], strings.Join(allowed, " or "))
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return "", errors.New("the key's BASE64 is damaged")
	}
	parts, ok := sshStrings(blob)
	if !ok || len(parts) < 2 || string(parts[0]) != fields[0] {
		return "", fmt.Errorf("the key's content is not of type %s", fields[0])
	}
	want := map[string]int{"ssh-ed25519": 2, "sk-ssh-ed25519@openssh.com": 3, "sk-ecdsa-sha2-nistp256@openssh.com": 4}[fields[0]]
	if len(parts) != want || strings.HasSuffix(strings.TrimSuffix(fields[0], "@openssh.com"), "ed25519") && len(parts[1]) != 32 {
		return "", errors.New("the key is cut off or too long")
	}
	return fields[0] + " " + fields[1], nil
}

// loginKeyTypes are the key types of operators: ed25519 and hardware keys.
func loginKeyTypes() []string {
	return []string{"ssh-ed25519", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}
}

// HostKeyError says why a line is no host key ("ssh-ed25519 BASE64"); nil if it is one.
func HostKeyError(line string) error {
	_, err := sshKey(line, "ssh-ed25519")
	return err
}

// sshStrings splits a blob of length-prefixed strings.
func sshStrings(blob []byte) ([][]byte, bool) {
	var parts [][]byte
	for len(blob) > 0 {
		if len(blob) < 4 {
			return nil, false
		}
		n := uint64(binary.BigEndian.Uint32(blob))
		if uint64(len(blob)-4) < n {
			return nil, false
		}
		parts = append(parts, blob[4:4+n])
		blob = blob[4+n:]
	}
	return parts, true
}

// isPrivateKey says whether a text that should be a public key is a private one:
// of OpenSSH or another in PEM, with or without its frame, of age, or of Nix
// (NAME:BASE64 of 64 bytes).
func isPrivateKey(text string) bool {
	_, key, _ := strings.Cut(text, ":")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	const magic = "b3BlbnNzaC1rZXktdjE" // "openssh-key-v1" in base64
	return strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, magic) ||
		strings.Contains(strings.ToUpper(text), "AGE-SECRET-KEY-") || err == nil && len(raw) == 64
}

// privateKey reports a private key, without a word of it (NM0602).
func (d *decoder) privateKey(it item) {
	d.add(problem{code: "NM0602", rng: it.rng, block: it.a.title, secret: true, detail: "That is a private key: replace it, it is compromised.",
		hint: "make a new pair and write its public key here; whoever reads this file or its history has the old one"})
}

// nixKeyError says why a text is no Nix public key, NAME:BASE64 of 32 bytes.
func nixKeyError(text string) error {
	name, key, ok := strings.Cut(text, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t\r\n\"$\\") {
		return errors.New("the text is not NAME:BASE64")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil {
		return errors.New("the part after the colon is not BASE64")
	}
	if len(raw) != 32 {
		return fmt.Errorf("the key has %d bytes, not 32", len(raw))
	}
	return nil
}

// ageError says why a text is no recipient: an X25519 one of age ("age1…"), or
// an ssh-ed25519 key.
func ageError(text string) error {
	if strings.HasPrefix(text, "ssh-") {
		_, err := sshKey(text, "ssh-ed25519")
		return err
	}
	if !strings.HasPrefix(text, "age1") {
		return errors.New("the text is not an age recipient (age1…) and not an ssh-ed25519 key")
	}
	if len(text) != 62 || !bech32(text) {
		return errors.New("the age recipient is damaged: its checksum is wrong")
	}
	return nil
}

// bech32 checks the checksum of a lower-case Bech32 text (BIP 173).
func bech32(text string) bool {
	const charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	split := strings.LastIndexByte(text, '1')
	if split < 1 {
		return false
	}
	var values []byte
	for _, c := range []byte(text[:split]) {
		values = append(values, c>>5)
	}
	values = append(values, 0)
	for _, c := range []byte(text[:split]) {
		values = append(values, c&31)
	}
	for _, c := range []byte(text[split+1:]) {
		i := strings.IndexByte(charset, c)
		if i < 0 {
			return false
		}
		values = append(values, byte(i))
	}
	sum := uint32(1)
	for _, v := range values {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	return sum == 1
}
