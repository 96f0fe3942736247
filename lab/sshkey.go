package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
)

const sshKeyType = "ssh-ed25519"

// sshPublic is a public key as SSH writes it on the wire.
func sshPublic(key ed25519.PublicKey) []byte {
	return sshString(sshString(nil, []byte(sshKeyType)), key)
}

// openSSHPrivate is a private key without a passphrase in OpenSSH's own
// format, PROTOCOL.key of its sources.
func openSSHPrivate(key ed25519.PrivateKey, comment string) []byte {
	public := sshPublic(key.Public().(ed25519.PublicKey))
	var check [4]byte
	rand.Read(check[:]) // twice the same: how a wrong passphrase is noticed

	secret := append(check[:len(check):len(check)], check[:]...)
	secret = append(secret, public...)
	secret = sshString(secret, key)
	secret = sshString(secret, []byte(comment))
	for pad := byte(1); len(secret)%8 != 0; pad++ {
		secret = append(secret, pad)
	}

	blob := []byte("openssh-key-v1\x00")
	blob = sshString(blob, []byte("none")) // cipher
	blob = sshString(blob, []byte("none")) // key derivation
	blob = sshString(blob, nil)
	blob = binary.BigEndian.AppendUint32(blob, 1) // keys
	blob = sshString(blob, public)
	blob = sshString(blob, secret)
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: blob})
}

// sshString appends a length and that many bytes.
func sshString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
