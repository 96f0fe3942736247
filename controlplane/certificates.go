package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/ca"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// certificates are this host's: those of its services, and what it signs with
// where it is an authority.
type certificates struct {
	keeper *ca.Keeper
	issuer *ca.Issuer
	log    *ca.FileLog
	closed []opening // what the disk refused; of New, and then of the loop

	mu    sync.Mutex // guards what follows
	roots string     // PEM, of the host's facts
	fleet *ca.Fleet  // nil before the first configuration, or while the roots do not fit it
}

// opening opens a folder or a file. It may be tried again.
type opening struct {
	name string
	try  func() error
}

// openCertificates loads what is on disk. Where the disk takes nothing, leaves
// are in memory until it does, and nothing is signed.
func openCertificates(a *Agent) (*certificates, error) {
	c := &certificates{}
	path := filepath.Join(a.opts.StateDir, dirAuthority)
	certs, _ := ca.OpenDir(filepath.Join(a.opts.StateDir, dirCerts)) // open says what failed
	authority, _ := ca.OpenDir(path)
	c.log, _ = ca.OpenLog(path, ca.DefaultLogSize)
	c.closed = []opening{{"certs folder", certs.Open}, {"authority folder", authority.Open}, {"issue log", c.log.Open}}
	c.open(a.problems, a.opts.StateDir)
	var err error
	c.keeper, err = ca.NewKeeper(ca.KeeperOptions{
		Host: a.host, Node: a.opts.NodeKey, NodeCert: a.opts.NodeCert, Store: certs, Transport: transport{a},
		Clock: a.opts.Clock, Logger: a.logger, Changed: func(service string) {
			a.proxy.all()
			a.poke()
			a.tellCert(service, "a certificate came")
		},
	})
	if err != nil {
		return nil, err
	}
	c.issuer, err = ca.NewIssuer(ca.IssuerOptions{Host: a.host, Store: authority, Log: c.log, Clock: a.opts.Clock, Logger: a.logger})
	return c, err
}

// open opens what the disk refused before.
func (c *certificates) open(p *problems, dir string) {
	c.closed = slices.DeleteFunc(c.closed, func(o opening) bool {
		err := o.try()
		p.check(o.name, err, "df -h "+dir)
		return err == nil
	})
}

// setRoots takes the roots of the host's facts, configure the configuration.
func (c *certificates) setRoots(pem string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roots = pem
}

// configure joins roots and configuration. An error is that they do not fit:
// then all stays as it was.
func (c *certificates) configure(config *mesh.Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.roots == "":
		return errors.New("this host's facts name no root of the fleet's CA: no certificates are asked for")
	case config.TrustDomain == "":
		return errors.New("the mesh configuration names no trust domain: no certificates are asked for")
	}
	domain, err := trust.ParseDomain(config.TrustDomain)
	if err != nil {
		return err
	}
	bundle, err := trust.ParseBundle([]byte(c.roots), domain)
	if err != nil {
		return fmt.Errorf("roots of this host's facts: %w", err)
	}
	if c.fleet, err = ca.NewFleet(config, bundle); err != nil {
		return err
	}
	c.keeper.Configure(c.fleet)
	c.issuer.Configure(c.fleet)
	return nil
}

func (c *certificates) current() *ca.Fleet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fleet
}

func (c *certificates) close(logger *slog.Logger) {
	if err := c.log.Close(); err != nil {
		logger.Warn("issue log not closed", "err", err)
	}
}

// certTimeout bounds one question to an authority.
const certTimeout = 10 * time.Second

// transport asks authorities by calls between agents, and this host directly
// where it is one.
type transport struct{ agent *Agent }

var _ ca.Transport = transport{}

func (t transport) Challenge(ctx context.Context, authority, host string) ([]byte, error) {
	if authority == t.agent.host {
		return t.agent.certificates.issuer.Challenge(host)
	}
	return t.agent.call(ctx, certTimeout, authority, methodChallenge, nil)
}

func (t transport) Issue(ctx context.Context, authority string, request ca.SignedRequest) ([]byte, error) {
	if authority == t.agent.host {
		return t.agent.certificates.issuer.Issue(request).Encode()
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode certificate request: %w", err)
	}
	return t.agent.call(ctx, certTimeout, authority, methodIssue, body)
}
