package gossip

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
)

// KeySize is the length of a gossip key, in bytes: AES-256 in GCM mode.
const KeySize = 32

// maxKeys is enough for a rotation: the old key and the new one. It also keeps
// clear of memberlist.Keyring.RemoveKey (v0.7.0), which moves the keys behind the
// removed one while packets are being decrypted with them: with two keys there is
// none behind.
const maxKeys = 2

var (
	// ErrNoKey is returned by New without a key: nothing is ever sent in the clear.
	ErrNoKey = errors.New("no gossip key")
	// ErrKeySize is returned for a key that is not KeySize bytes long.
	ErrKeySize = fmt.Errorf("a gossip key has %d bytes", KeySize)
	// ErrKeyInUse is returned for the removal of the key that encrypts.
	ErrKeyInUse = errors.New("the key in use cannot be removed")
	// ErrKeyUnknown is returned for a key that was not added.
	ErrKeyUnknown = errors.New("key is not in the keyring")
	// ErrTooManyKeys is returned when a third key is added: the old one has to go first.
	ErrTooManyKeys = fmt.Errorf("more than %d keys: remove the old one first", maxKeys)
)

// keyring guards memberlist's, whose methods it calls one at a time.
type keyring struct {
	mu   sync.Mutex
	ring *memberlist.Keyring
}

func newKeyring(keys [][]byte) (*keyring, error) {
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	ring, err := memberlist.NewKeyring(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make keyring: %w", err)
	}
	k := &keyring{ring: ring}
	for _, key := range keys {
		if err := k.add(key); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *keyring) add(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.addOne(key)
}

// addOne wants mu held.
func (k *keyring) addOne(key []byte) error {
	if len(key) != KeySize {
		return ErrKeySize
	}
	if k.has(key) {
		return nil
	}
	if len(k.ring.GetKeys()) >= maxKeys {
		return ErrTooManyKeys
	}
	return k.ring.AddKey(bytes.Clone(key))
}

func (k *keyring) use(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.has(key) {
		return ErrKeyUnknown
	}
	return k.ring.UseKey(bytes.Clone(key))
}

func (k *keyring) remove(key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case bytes.Equal(key, k.ring.GetPrimaryKey()):
		return ErrKeyInUse
	case !k.has(key):
		return ErrKeyUnknown
	}
	return k.ring.RemoveKey(key)
}

// set replaces the keys, of which there are never more than maxKeys: those that go
// make room for those that come.
func (k *keyring) set(keys [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case len(keys) == 0:
		return ErrNoKey
	case len(keys) > maxKeys:
		return ErrTooManyKeys
	}
	for _, key := range keys {
		if len(key) != KeySize {
			return ErrKeySize
		}
	}
	first := bytes.Clone(keys[0])
	err := k.keep(k.ring.GetPrimaryKey(), first)
	if err == nil {
		err = k.addOne(first)
	}
	if err == nil {
		err = k.ring.UseKey(first)
	}
	if err == nil {
		err = k.keep(keys...)
	}
	for _, key := range keys[1:] {
		if err == nil {
			err = k.addOne(key)
		}
	}
	return err
}

// keep removes all other keys, of which the one in use is none. It wants mu held.
func (k *keyring) keep(keys ...[]byte) error {
	for _, key := range slices.Clone(k.ring.GetKeys()) {
		if slices.ContainsFunc(keys, func(kept []byte) bool { return bytes.Equal(kept, key) }) {
			continue
		}
		if err := k.ring.RemoveKey(key); err != nil {
			return err
		}
	}
	return nil
}

// has wants mu held.
func (k *keyring) has(key []byte) bool {
	for _, known := range k.ring.GetKeys() {
		if bytes.Equal(known, key) {
			return true
		}
	}
	return false
}

// fingerprints lists the keys, the one that encrypts first.
func (k *keyring) fingerprints() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for _, key := range k.ring.GetKeys() {
		all = append(all, Fingerprint(key))
	}
	return all
}

// Fingerprint names a key without telling it.
func Fingerprint(key []byte) string {
	sum := sha256.Sum256(append([]byte("nixmesh gossip key\x00"), key...))
	return hex.EncodeToString(sum[:8])
}
