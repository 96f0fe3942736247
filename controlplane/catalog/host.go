package catalog

import (
	"encoding/binary"
	"math"
)

// Host is what a host says of itself and its agent.
type Host struct {
	Agent     string    // version of the agent
	Protocols Protocols // between agents
	Document  Document  // the mesh configuration that it acts on; the zero value is none
	Overrides Sum       // of the overrides that it acts on: see SumOf
	Draining  bool      // no new calls to any service here
	Port      uint16    // of its mTLS listener; the address is the configuration's
	System    string    // name of the running toplevel
	Envoy     Envoy     // how far its Envoy is with Document
}

// Envoy is how far the Envoy of a host is with the document that the agent acts on.
type Envoy uint8

// States of an Envoy. Others are of a later nixmesh, and as EnvoyBehind.
const (
	EnvoyNone    Envoy = iota // the host says nothing of one
	EnvoyBehind               // it has not taken the document yet
	EnvoyActs                 // it acts on the document
	EnvoyRefuses              // it does not take a part of it, or nothing could be built for it
	EnvoyAway                 // it does not run, or does as it was told last
)

// Document names a mesh configuration.
type Document struct {
	Version uint64
	Hash    [32]byte
}

// Protocols is the range of protocol numbers between agents that one speaks.
type Protocols struct{ Min, Max uint64 }

// Common is the highest protocol that both speak, false when there is none.
func (p Protocols) Common(o Protocols) (uint64, bool) {
	n := min(p.Max, o.Max)
	return n, n >= max(p.Min, o.Min)
}

// Numbers of a host's fields.
const (
	hostAgent     = 1
	hostProtocols = 2
	hostDocument  = 3
	hostOverrides = 4
	hostDraining  = 5
	hostPort      = 6
	hostSystem    = 7
	hostEnvoy     = 8
)

const (
	maxAgent  = 64
	maxSystem = 128
)

func (h *Host) encode() []byte {
	b := appendField(nil, hostAgent, h.Agent)
	p := binary.AppendUvarint(nil, h.Protocols.Min)
	b = appendField(b, hostProtocols, binary.AppendUvarint(p, h.Protocols.Max))
	if h.Document != (Document{}) {
		d := binary.AppendUvarint(nil, h.Document.Version)
		b = appendField(b, hostDocument, append(d, h.Document.Hash[:]...))
	}
	if h.Overrides != (Sum{}) {
		b = appendField(b, hostOverrides, h.Overrides[:])
	}
	if h.Draining {
		b = appendNumberField(b, hostDraining, 1)
	}
	b = appendNumberField(b, hostPort, uint64(h.Port))
	if h.System != "" {
		b = appendField(b, hostSystem, h.System)
	}
	if h.Envoy != EnvoyNone {
		b = appendNumberField(b, hostEnvoy, uint64(h.Envoy))
	}
	return b
}

func decodeHost(b []byte) (*Host, error) {
	h := &Host{}
	in := reader{b: b}
	seen := map[uint64]bool{}
	in.fields(func(number uint64, v *reader) {
		if seen[number] && number <= hostEnvoy {
			v.fail("given twice")
			return
		}
		seen[number] = true
		switch number {
		case hostAgent:
			h.Agent = v.rest("agent", maxAgent)
		case hostProtocols:
			h.Protocols.Min = v.number("protocol", math.MaxUint32)
			h.Protocols.Max = v.number("protocol", math.MaxUint32)
			if v.end() == nil && h.Protocols.Max < h.Protocols.Min {
				v.fail("protocols from %d to %d", h.Protocols.Min, h.Protocols.Max)
			}
		case hostDocument:
			h.Document.Version = v.number("version", math.MaxUint64)
			copy(h.Document.Hash[:], v.fixed("hash", len(h.Document.Hash)))
			_ = v.end()
		case hostOverrides:
			copy(h.Overrides[:], v.fixed("sum", len(h.Overrides)))
			_ = v.end()
		case hostDraining:
			h.Draining = v.number("draining", 1) == 1
			_ = v.end()
		case hostPort:
			h.Port = uint16(v.number("port", math.MaxUint16))
			_ = v.end()
		case hostSystem:
			h.System = v.rest("system", maxSystem)
		case hostEnvoy:
			h.Envoy = Envoy(v.number("state of its Envoy", math.MaxUint8))
			_ = v.end()
		}
	})
	if err := in.end(); err != nil {
		return nil, err
	}
	return h, nil
}

// rest reads what is left as printable text.
func (r *reader) rest(what string, limit int) string {
	if len(r.b) > limit {
		r.fail("%s has %d bytes, at most %d are allowed", what, len(r.b), limit)
	}
	b := r.fixed(what, len(r.b))
	if !isText(b) {
		r.fail("%s is no text", what)
		return ""
	}
	return string(b)
}
