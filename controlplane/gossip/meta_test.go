package gossip

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"
)

func TestMetaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.Uint16Min(1).Draw(t, "min")
		m := Meta{
			ProtocolMin: least,
			ProtocolMax: rapid.Uint16Min(least).Draw(t, "max"),
			DataPort:    rapid.Uint16Min(1).Draw(t, "port"),
			Epoch:       rapid.Uint64().Draw(t, "epoch"),
			Version:     rapid.StringMatching(`[0-9a-z.+-]{0,64}`).Draw(t, "version"),
			leaving:     rapid.Bool().Draw(t, "leaving"),
		}
		b, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > memberlist.MetaMaxSize {
			t.Fatalf("%d bytes", len(b))
		}
		// A field of a later release changes nothing.
		if got, err := decodeMeta(append(b, 99, 3, 'n', 'e', 'w')); err != nil || got != m {
			t.Fatalf("%+v became %+v (%v)", m, got, err)
		}
	})
}

func TestMetaRefused(t *testing.T) {
	for what, m := range map[string]Meta{
		"zero":                   {},
		"protocols crossed":      {ProtocolMin: 2, ProtocolMax: 1, DataPort: 1},
		"no port":                {ProtocolMin: 1, ProtocolMax: 1},
		"long version":           {ProtocolMin: 1, ProtocolMax: 1, DataPort: 1, Version: strings.Repeat("1", MaxVersion+1)},
		"version with an escape": {ProtocolMin: 1, ProtocolMax: 1, DataPort: 1, Version: "\x1b[2J"},
	} {
		if _, err := m.encode(); !errors.Is(err, errMeta) {
			t.Errorf("%s: %v", what, err)
		}
	}
	good, err := testMeta.encode()
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{
		"nothing":           nil,
		"format only":       {metaFormat},
		"another format":    {9},
		"cut":               good[:len(good)-1],
		"a field twice":     append(append([]byte{}, good...), good[1:]...),
		"port of one byte":  {metaFormat, tagProtocols, 4, 0, 1, 0, 1, tagPort, 1, 7},
		"leaving with text": append(append([]byte{}, good...), tagLeaving, 1, 1),
		"too long":          append(append([]byte{}, good...), make([]byte, memberlist.MetaMaxSize)...),
	} {
		if m, err := decodeMeta(b); !errors.Is(err, errMeta) {
			t.Errorf("%s: %+v, %v", what, m, err)
		}
	}
}

func FuzzMeta(f *testing.F) {
	m := testMeta
	m.Version, m.leaving = "0.1.0", true
	good, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:5])
	f.Add([]byte{metaFormat, tagVersion, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			if !errors.Is(err, errMeta) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		if back, err := decodeMeta(again); err != nil || back != m {
			t.Errorf("%+v became %+v (%v)", m, back, err)
		}
	})
}
