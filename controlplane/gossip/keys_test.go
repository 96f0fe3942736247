package gossip

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNoKeyNoGossip(t *testing.T) {
	o := Options{Host: "a", Mesh: "shop", Members: hosts("a", "10.0.0.1:7946"), Meta: testMeta}
	if _, err := New(o); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	o.Keys = [][]byte{testKey[:16]}
	if _, err := New(o); !errors.Is(err, ErrKeySize) {
		t.Errorf("with a short key: %v", err)
	}
}

func TestKeyring(t *testing.T) {
	k, err := newKeyring([][]byte{testKey})
	if err != nil {
		t.Fatal(err)
	}
	third := append([]byte{3}, testKey[1:]...)
	for _, step := range []struct {
		what string
		got  error
		want error
	}{
		{"use before add", k.use(otherKey), ErrKeyUnknown},
		{"add", k.add(otherKey), nil},
		{"add again", k.add(otherKey), nil},
		{"add a third", k.add(third), ErrTooManyKeys},
		{"remove the one in use", k.remove(testKey), ErrKeyInUse},
		{"use", k.use(otherKey), nil},
		{"remove the old one", k.remove(testKey), nil},
		{"remove it again", k.remove(testKey), ErrKeyUnknown},
		{"add a short one", k.add(testKey[1:]), ErrKeySize},
	} {
		if !errors.Is(step.got, step.want) {
			t.Errorf("%s: %v, want %v", step.what, step.got, step.want)
		}
	}
	if got := k.fingerprints(); len(got) != 1 || got[0] != Fingerprint(otherKey) {
		t.Errorf("fingerprints %v", got)
	}
}

// TestKeysReplaced: whatever two keys there were, the new ones are there, in their
// order.
func TestKeysReplaced(t *testing.T) {
	a, b := testKey, otherKey
	c, d := append([]byte{3}, testKey[1:]...), append([]byte{4}, testKey[1:]...)
	for _, before := range [][][]byte{{a}, {a, b}} {
		for _, after := range [][][]byte{{a}, {b}, {a, b}, {b, a}, {c}, {a, c}, {c, a}, {c, b}, {b, c}, {c, d}, {a, a}} {
			k, err := newKeyring(before)
			if err == nil {
				err = k.set(after)
			}
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, key := range after {
				if print := Fingerprint(key); len(want) == 0 || want[0] != print {
					want = append(want, print)
				}
			}
			if got := k.fingerprints(); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
	}
	k, err := newKeyring([][]byte{a, b})
	if err != nil {
		t.Fatal(err)
	}
	for want, keys := range map[error][][]byte{ErrNoKey: nil, ErrTooManyKeys: {a, b, c}, ErrKeySize: {c, a[1:]}} {
		if err := k.set(keys); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if got := k.fingerprints(); len(got) != 2 || got[0] != Fingerprint(a) {
		t.Errorf("what was refused left %v", got)
	}
}

// TestWrongKey: a host with another key is not let in, both sides tell why, and
// a keyring that has both keys heals it.
func TestWrongKey(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, f *fleet) {
		f.add(hostName(1))
		f.add(hostName(2))
		stray := f.add(hostName(3), func(o *Options) { o.Keys = [][]byte{otherKey} })
		time.Sleep(time.Minute)
		for name, n := range f.nodes {
			for _, m := range n.Members() {
				if want := name != hostName(3) && m.Name != hostName(3); m.Here() != want {
					t.Errorf("%s sees %s %s", name, m.Name, m.State)
				}
			}
			if n.Stats().Refused[WrongKey] == 0 {
				t.Errorf("%s does not tell of the wrong key: %v", name, n.Stats().Refused)
			}
		}
		if err := errors.Join(stray.AddKey(testKey), stray.UseKey(testKey), stray.RemoveKey(otherKey)); err != nil {
			t.Fatal(err)
		}
		f.eventually(time.Minute, f.whole)
	})
}

func TestWrongMesh(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		f.add(hostName(1))
		f.add(hostName(2), func(o *Options) { o.Mesh = "shop-staging" })
		time.Sleep(time.Minute)
		for name, n := range f.nodes {
			if n.Stats().Alive != 1 {
				t.Errorf("%s lets the other mesh in", name)
			}
		}
	})
}

// TestKeyRotation rotates host by host, with a host that misses the whole of it,
// and nobody is ever suspected.
func TestKeyRotation(t *testing.T) {
	inBubble(t, 6, func(t *testing.T, f *fleet) {
		for _, name := range f.names()[:5] {
			f.add(name)
		}
		for _, step := range []func(n *node) error{
			func(n *node) error { return n.AddKey(otherKey) },
			func(n *node) error { return n.UseKey(otherKey) },
			func(n *node) error { return n.RemoveKey(testKey) },
		} {
			for _, name := range f.names()[:5] {
				time.Sleep(10 * time.Second)
				if err := step(f.nodes[name]); err != nil {
					t.Fatal(err)
				}
				if err := f.nodes[name].Broadcast(name, []byte("still here")); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Minute)
		f.eventually(0, f.whole)
		for _, name := range f.names()[:5] {
			n := f.nodes[name]
			for _, other := range f.names()[:5] {
				if kinds := n.seen(other); len(kinds) > 1 {
					t.Errorf("%s: %s %v", name, other, kinds)
				}
			}
			n.mu.Lock()
			if len(n.hints) != 3*4 {
				t.Errorf("%s has %d hints of 12", name, len(n.hints))
			}
			n.mu.Unlock()
		}
		slept := f.add(hostName(6))
		time.Sleep(20 * time.Second)
		if slept.Stats().Alive != 1 {
			t.Error("the old key lets in")
		}
		if err := errors.Join(slept.AddKey(otherKey), slept.UseKey(otherKey)); err != nil {
			t.Fatal(err)
		}
		f.eventually(time.Minute, f.whole)
	})
}

// lines keeps what was logged.
type lines struct {
	mu   sync.Mutex // guards what follows
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestLogIsBounded: an hour beside a host with another key is a page of log, and
// has no key in it.
func TestLogIsBounded(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		var log lines
		f.log = slog.New(slog.NewTextHandler(&log, nil))
		f.add(hostName(1))
		f.add(hostName(2), func(o *Options) { o.Keys = [][]byte{otherKey} })
		time.Sleep(time.Hour)
		text := log.String()
		if n := strings.Count(text, "\n"); n == 0 || n > 2*(61+120+logBurst) {
			t.Errorf("%d lines in an hour", n)
		} else {
			t.Logf("%d lines in an hour", n)
		}
		if !strings.Contains(text, "wrong_key") || !strings.Contains(text, "suppressed=") {
			t.Errorf("log: %.2000s", text)
		}
		if strings.Contains(text, string(testKey)) || strings.Contains(text, string(otherKey)) {
			t.Error("a key is in the log")
		}
	})
}
