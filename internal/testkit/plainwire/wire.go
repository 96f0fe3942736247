// Package plainwire secures nothing: both ends of a connection say their node
// certificate, and are believed. It stands in for TLS between agents where so many
// of them are simulated in one process that TLS costs too much. Only tests import
// it.
package plainwire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// maxText bounds what is taken for a certificate.
const maxText = 8 << 10

// Wire is one host's, a sync.Wire.
type Wire struct{ own func() trust.NodeCert }

// New makes the wire of a host whose node certificate own gives.
func New(own func() trust.NodeCert) Wire { return Wire{own} }

// Client says this host's certificate and hears the other one's.
func (w Wire) Client(ctx context.Context, c net.Conn) (net.Conn, trust.NodeCert, error) {
	return w.exchange(ctx, c)
}

// Server does the same: both speak at once.
func (w Wire) Server(ctx context.Context, c net.Conn) (net.Conn, trust.NodeCert, error) {
	return w.exchange(ctx, c)
}

func (w Wire) exchange(ctx context.Context, c net.Conn) (net.Conn, trust.NodeCert, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	text := w.own().Text()
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)); err != nil {
		return nil, trust.NodeCert{}, fmt.Errorf("say certificate: %w", err)
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, trust.NodeCert{}, fmt.Errorf("hear certificate: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxText {
		return nil, trust.NodeCert{}, errors.New("hear certificate: too long")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, trust.NodeCert{}, fmt.Errorf("hear certificate: %w", err)
	}
	node, err := trust.ParseNodeCert(b)
	if !stop() {
		return nil, trust.NodeCert{}, context.Cause(ctx)
	}
	return c, node, err
}
