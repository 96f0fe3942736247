package spec

import "time"

// Patience is how long a call may take where neither the caller's upstream nor a
// route of the callee says so. Zero is no bound.
type Patience struct {
	Timeout     time.Duration // of the whole answer
	IdleTimeout time.Duration // without traffic
}

// DefaultPatience is that of calls in a protocol. What is behind an answer of gRPC
// may be a stream, and a connection over TCP has no answer; how long such a one
// rests says little. Connections that HTTP was upgraded to are as those of "tcp".
func DefaultPatience(protocol string) Patience {
	switch protocol {
	case "http", "http2":
		return Patience{Timeout: 15 * time.Second, IdleTimeout: 5 * time.Minute}
	case "grpc":
		return Patience{IdleTimeout: 5 * time.Minute}
	default:
		return Patience{IdleTimeout: time.Hour}
	}
}
