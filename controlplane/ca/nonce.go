package ca

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Nonces live for two minutes, and at most so many used ones are remembered:
// more than the rate limit lets through in that time.
const (
	nonceLife = 2 * time.Minute
	maxUsed   = 1 << 14
	nonceSize = 8 + 16 + sha256.Size // time, random bytes, code
)

var (
	errNonce     = errors.New("the nonce is not of this authority, or is too old; ask for another")
	errNonceUsed = errors.New("the nonce was used before")
	errNonceFull = errors.New("too many requests")
)

// nonces gives out nonces without remembering them: each carries its time and a
// code of a secret that a restart forgets. Only used ones are remembered, and
// only of hosts that proved themselves, so strangers cannot fill the memory.
type nonces struct {
	secret [32]byte
	used   map[[nonceSize]byte]time.Time // when it is too old anyway
}

func newNonces() (*nonces, error) {
	n := &nonces{used: map[[nonceSize]byte]time.Time{}}
	if _, err := rand.Read(n.secret[:]); err != nil {
		return nil, fmt.Errorf("choose secret of nonces: %w", err)
	}
	return n, nil
}

// make makes a nonce for a host.
func (n *nonces) make(host string, now time.Time) ([]byte, error) {
	out := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("choose nonce: %w", err)
	}
	out = append(out, random[:]...)
	return append(out, n.code(out, host)...), nil
}

func (n *nonces) code(head []byte, host string) []byte {
	mac := hmac.New(sha256.New, n.secret[:])
	mac.Write(head)
	mac.Write([]byte(host))
	return mac.Sum(nil)
}

// check says whether a nonce was made for a host not long ago.
func (n *nonces) check(nonce []byte, host string, now time.Time) error {
	if len(nonce) != nonceSize {
		return errNonce
	}
	head, code := nonce[:nonceSize-sha256.Size], nonce[nonceSize-sha256.Size:]
	made := time.Unix(0, int64(binary.BigEndian.Uint64(head)))
	if !hmac.Equal(code, n.code(head, host)) || now.Before(made) || now.Sub(made) > nonceLife {
		return errNonce
	}
	return nil
}

// use uses a nonce that was checked, once.
func (n *nonces) use(nonce []byte, now time.Time) error {
	key := [nonceSize]byte(nonce)
	if _, twice := n.used[key]; twice {
		return errNonceUsed
	}
	if len(n.used) >= maxUsed {
		for old, until := range n.used {
			if now.After(until) {
				delete(n.used, old)
			}
		}
	}
	if len(n.used) >= maxUsed {
		return errNonceFull
	}
	n.used[key] = time.Unix(0, int64(binary.BigEndian.Uint64(nonce))).Add(nonceLife)
	return nil
}
