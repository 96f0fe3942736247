package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of overrides.
const (
	MaxOverrides      = 1024
	MaxOverrideLife   = 24 * time.Hour
	MaxSkew           = 10 * time.Second
	maxOverrideValue  = 2 << 10
	maxOverrideSigned = 2 << 10 // an SSHSIG has some 300 bytes, of a hardware key some 600
	maxOverrideSize   = 8 << 10
	maxSubject        = 80
)

// OverrideKind says what an override changes.
type OverrideKind uint8

// Kinds of overrides.
const (
	Shift OverrideKind = iota + 1 // the shares of a service's versions
	Fault                         // delays, aborts and limits on calls to a service
	Drain                         // a host, or a service on a host: no new calls
)

// Override is one signed change on top of the mesh configuration. The last
// writer of a subject wins.
type Override struct {
	Kind    OverrideKind
	Service string // all but the drain of a whole host
	Host    string // of a drain
	ID      string // of a fault
	Cleared bool   // the change is taken back
	Stamp   HLC

	// Life is how long it holds, at most MaxOverrideLife. Zero holds until
	// something else is written: drains, finished shifts, and their clearing.
	Life time.Duration

	// Base is SplitHash of the service that a shift was made for. A shift ends
	// when the configuration's split becomes another. Zero is none.
	Base [8]byte

	// Value is what kind means by it, JSON. The catalog does not look into it.
	Value []byte

	// ByNode says that a host signed it with its node key, which it may for its
	// own drain only. Else an operator did.
	ByNode bool

	signature []byte
	bytes     []byte // as it travels
}

// Subject is what the override is about: "shift/api", "fault/api/ID",
// "drain/app1", "drain/app1/web".
func (o *Override) Subject() string {
	switch o.Kind {
	case Shift:
		return "shift/" + o.Service
	case Fault:
		return "fault/" + o.Service + "/" + o.ID
	}
	return drainSubject(o.Host, o.Service)
}

func drainSubject(host, service string) string {
	return strings.TrimSuffix("drain/"+host+"/"+service, "/")
}

// Bytes are the override as it was signed, with the signature.
func (o *Override) Bytes() []byte { return o.bytes }

// ErrOverride is an override that says what none may.
var ErrOverride = errors.New("not a possible override")

func (o *Override) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOverride, fmt.Sprintf(format, args...))
	}
	switch {
	case o.Kind < Shift || o.Kind > Drain:
		return wrong("kind %d", o.Kind)
	case (o.Host != "") != (o.Kind == Drain):
		return wrong("a drain is of a host, nothing else is")
	case o.Service == "" && o.Kind != Drain:
		return wrong("no service")
	case (o.ID != "") != (o.Kind == Fault):
		return wrong("a fault has an ID, nothing else has")
	case o.Life < 0 || o.Life > MaxOverrideLife:
		return wrong("it holds for %s, at most %s are allowed", o.Life, MaxOverrideLife)
	case o.Life == 0 && o.Kind == Fault:
		return wrong("a fault has to end")
	case o.Life == 0 && o.Kind == Shift && !o.Cleared && o.Base == [8]byte{}:
		return wrong("a shift that holds names the split it was made for")
	case o.ByNode && (o.Kind != Drain || o.Stamp.Writer != o.Host):
		return wrong("a host may drain itself only")
	}
	return nil
}

const (
	overrideCleared = 1
	overrideByNode  = 2
)

// body is what gets signed.
func (o *Override) body() []byte {
	b := []byte{wireVersion}
	flags := uint64(0)
	if o.Cleared {
		flags |= overrideCleared
	}
	if o.ByNode {
		flags |= overrideByNode
	}
	b = binary.AppendUvarint(b, uint64(o.Kind))
	b = binary.AppendUvarint(b, flags)
	b = appendBytes(b, o.Service)
	b = appendBytes(b, o.Host)
	b = appendBytes(b, o.ID)
	b = o.Stamp.append(b)
	b = binary.AppendUvarint(b, uint64(o.Life.Milliseconds()))
	b = append(b, o.Base[:]...)
	return appendBytes(b, o.Value)
}

// message is what the signature is over. An operator's has its purpose in the
// namespace.
func (o *Override) message() []byte {
	if o.ByNode {
		return append([]byte(overrideDomain), o.body()...)
	}
	return o.body()
}

// Seal signs an override: with the node key where ByNode is set, else with an
// operator's, in the namespace "nixmesh-override".
func Seal(o Override, sign Sign) (*Override, error) {
	o.Value = slices.Clone(o.Value)
	if err := o.check(); err != nil {
		return nil, err
	}
	signature, err := sign(o.message())
	if err != nil {
		return nil, fmt.Errorf("sign override: %w", err)
	}
	read, err := DecodeOverride(appendBytes(appendBytes(nil, o.body()), signature))
	if err != nil {
		return nil, fmt.Errorf("sign override: %w", err)
	}
	return read, nil
}

// DecodeOverride reads what Bytes gave. It does not check the signature.
func DecodeOverride(b []byte) (*Override, error) {
	if len(b) > maxOverrideSize {
		return nil, malformed("override of %d bytes", len(b))
	}
	outer := reader{b: b}
	in := reader{b: outer.bytes("override", maxOverrideSize)}
	o := &Override{bytes: b, signature: outer.bytes("signature", maxOverrideSigned)}
	if err := outer.end(); err != nil {
		return nil, fmt.Errorf("override: %w", err)
	}
	in.version()
	o.Kind = OverrideKind(in.number("kind", uint64(Drain)))
	flags := in.number("flags", overrideCleared|overrideByNode)
	o.Cleared, o.ByNode = flags&overrideCleared != 0, flags&overrideByNode != 0
	o.Service, o.Host, o.ID = in.name("service", true), in.name("host", true), in.name("ID", true)
	o.Stamp = in.hlc()
	o.Life = time.Duration(in.number("life", uint64(MaxOverrideLife.Milliseconds()))) * time.Millisecond
	copy(o.Base[:], in.fixed("base", len(o.Base)))
	o.Value = in.bytes("value", maxOverrideValue)
	err := in.end()
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return nil, fmt.Errorf("override: %w", err)
	}
	return o, nil
}

// Carried is an override on its way: its age travels with it, so that a wrong
// clock cannot prolong it.
type Carried struct {
	Override *Override
	Age      time.Duration // since it was signed
}

func (c Carried) append(b []byte) []byte {
	b = appendBytes(b, c.Override.bytes)
	return binary.AppendUvarint(b, uint64(max(c.Age, 0).Milliseconds()))
}

func (c Carried) size() int { return len(c.Override.bytes) + 2*binary.MaxVarintLen32 }

func decodeCarried(in *reader) (Carried, error) {
	b := slices.Clone(in.bytes("override", maxOverrideSize))
	age := in.number("age", maxMillis/32) // a century, which fits a time.Duration
	if in.err != nil {
		return Carried{}, in.err
	}
	o, err := DecodeOverride(b)
	if err != nil {
		return Carried{}, err
	}
	return Carried{o, time.Duration(age) * time.Millisecond}, nil
}
