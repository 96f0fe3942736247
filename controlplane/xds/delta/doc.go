// Package delta gives one Envoy its resources by the incremental xDS protocol
// over one stream: make before break, each acknowledged or refused for itself.
package delta
