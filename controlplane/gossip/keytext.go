package gossip

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
)

// ErrKeyText is returned for a text that is no file of gossip keys. What the
// file holds is never quoted.
var ErrKeyText = errors.New("not a file of gossip keys")

// NewKeyText makes a key, as its file holds it: one line.
func NewKeyText() []byte {
	key := make([]byte, KeySize)
	rand.Read(key)
	return append([]byte(base64.StdEncoding.EncodeToString(key)), '\n')
}

// ParseKeys reads a file of keys: each is a line of standard base64, and the
// first encrypts. There is one, or two while the key is rotated.
func ParseKeys(text []byte) ([][]byte, error) {
	var keys [][]byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(string(line))
		if err != nil || len(key) != KeySize {
			return nil, fmt.Errorf("%w: line %d is not the base64 of %d bytes", ErrKeyText, len(keys)+1, KeySize)
		}
		if keys = append(keys, key); len(keys) > maxKeys {
			return nil, fmt.Errorf("%w: %w", ErrKeyText, ErrTooManyKeys)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrKeyText, ErrNoKey)
	}
	return keys, nil
}
