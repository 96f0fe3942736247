package catalog

import (
	"math"
	"time"
)

// Service is what a host says of one service that it runs.
type Service struct {
	Instances []Instance
}

// Instance is one running copy.
type Instance struct {
	Version  string // empty = the service has no versions
	Copy     int    // from 1
	Health   Health
	Draining bool      // no new calls to it
	Since    time.Time // when the health changed, by the owner's clock; for people
	Reason   string    // why it is not healthy, one short line
}

// Health is what the checks of an instance say.
type Health uint8

// Healths, the best last.
const (
	Unhealthy Health = iota + 1
	Starting         // not checked yet
	Healthy
)

func (h Health) String() string {
	switch h {
	case Unhealthy:
		return "unhealthy"
	case Starting:
		return "starting"
	case Healthy:
		return "healthy"
	}
	return "unknown"
}

// Bounds of a service's record.
const (
	MaxInstances = 64 // of one service on one host
	MaxReason    = 120
)

// Numbers of the fields of a service and of an instance.
const (
	serviceInstance  = 1
	instanceVersion  = 1
	instanceCopy     = 2
	instanceHealth   = 3
	instanceDraining = 4
	instanceSince    = 5
	instanceReason   = 6
)

func (s *Service) encode() []byte {
	var b []byte
	for i := range s.Instances {
		b = appendField(b, serviceInstance, s.Instances[i].encode())
	}
	return b
}

func (i *Instance) encode() []byte {
	var b []byte
	if i.Version != "" {
		b = appendField(b, instanceVersion, i.Version)
	}
	b = appendNumberField(b, instanceCopy, uint64(i.Copy))
	b = appendNumberField(b, instanceHealth, uint64(i.Health))
	if i.Draining {
		b = appendNumberField(b, instanceDraining, 1)
	}
	if !i.Since.IsZero() {
		b = appendNumberField(b, instanceSince, uint64(max(i.Since.Unix(), 0)))
	}
	if i.Reason != "" {
		b = appendField(b, instanceReason, i.Reason)
	}
	return b
}

func decodeService(b []byte) (*Service, error) {
	s := &Service{}
	in := reader{b: b}
	in.fields(func(number uint64, v *reader) {
		if number != serviceInstance {
			return
		}
		if len(s.Instances) == MaxInstances {
			v.fail("more than %d instances", MaxInstances)
			return
		}
		s.Instances = append(s.Instances, decodeInstance(v))
	})
	if err := in.end(); err != nil {
		return nil, err
	}
	return s, nil
}

func decodeInstance(in *reader) Instance {
	var i Instance
	in.fields(func(number uint64, v *reader) {
		switch number {
		case instanceVersion:
			b := v.fixed("version", len(v.b))
			if !isName(b) {
				v.fail("version %q is no name", b)
			}
			i.Version = string(b)
		case instanceCopy:
			i.Copy = int(v.number("copy", math.MaxUint16))
			_ = v.end()
		case instanceHealth:
			i.Health = Health(v.number("health", math.MaxUint8))
			_ = v.end()
		case instanceDraining:
			i.Draining = v.number("draining", 1) == 1
			_ = v.end()
		case instanceSince:
			i.Since = time.Unix(int64(v.number("since", maxMillis/1000)), 0)
			_ = v.end()
		case instanceReason:
			i.Reason = v.rest("reason", MaxReason)
		}
	})
	if in.err == nil && i.Health == 0 {
		in.fail("an instance has no health")
	}
	if i.Health > Healthy {
		i.Health = Unhealthy // a newer agent's word for something that is not plain healthy
	}
	return i
}
