package ca

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// Issue answers a request. The order of the checks is: whether this host can
// sign at all, then who asks, then what for. Nothing is remembered for somebody who
// did not prove to be a host of the fleet.
func (i *Issuer) Issue(signed SignedRequest) Answer {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	chain, refusal := i.issue(signed, now)
	if refusal != nil {
		i.refused[refusal.Code]++
		i.Logger.Debug("certificate refused", "code", string(refusal.Code), "err", refusal.Text)
		return Answer{Time: now, Refusal: refusal}
	}
	i.issued++
	return Answer{Time: now, Chain: string(chain.PEM())}
}

// may says whether the configuration names this host as an authority.
func (i *Issuer) may() bool {
	return i.fleet != nil && slices.Contains(i.fleet.Config.CA.Authorities, i.Host)
}

func (i *Issuer) issue(signed SignedRequest, now time.Time) (trust.Chain, *Refusal) {
	r, err := parseRequest(signed.Body)
	if err != nil {
		return nil, refuse(CodeForm, "%v", err)
	}
	switch {
	case r.Authority != i.Host:
		return nil, refuse(CodeForm, "the request is to %.80q, and this is %s", r.Authority, i.Host)
	case !i.may():
		return nil, refuse(CodeAuthority, "%s is no authority, as far as it knows", i.Host)
	case i.authority == nil:
		refusal := refuse(CodeAuthority, "%s has no intermediate yet, which a deploy signs", i.Host)
		refusal.Retry = awaitIntermediate // hosts ask before the deploy that starts them has signed it
		return nil, refusal
	}
	if err := i.fleet.Roots.VerifyIntermediate(i.authority.Certificate, now); err != nil {
		return nil, refuse(CodeAuthority, "the intermediate of %s: %v", i.Host, err)
	}
	node, refusal := i.node(r, signed, now)
	if refusal != nil {
		return nil, refusal
	}
	if wait := i.limiter.take(now, r.Host, len(i.fleet.placed(r.Host))); wait > 0 {
		refusal := refuse(CodeBusy, "too many requests")
		refusal.Retry = wait
		return nil, refusal
	}
	if !i.fleet.places(r.Service, r.Host) {
		return nil, refuse(CodePlacement, "the configuration of %s does not place %.80q on %s", i.Host, r.Service, r.Host)
	}
	return i.sign(r, node, now)
}

// node proves that the request is of its host: a nonce for that host, the
// newest node certificate under the pinned host key, the node key's signature
// over exactly these bytes, and a nonce that was not used.
func (i *Issuer) node(r Request, signed SignedRequest, now time.Time) (trust.NodePublic, *Refusal) {
	none := trust.NodePublic{}
	key := i.fleet.hostKey(r.Host)
	if key == "" {
		return none, refuse(CodeHost, "the configuration of %s has no host %.80q with a trusted SSH key", i.Host, r.Host)
	}
	if err := i.nonces.check(r.Nonce, r.Host, now); err != nil {
		return none, refuse(CodeNonce, "%v", err)
	}
	cert, err := trust.ParseNodeCert([]byte(r.NodeCert))
	if err != nil {
		return none, refuse(CodeNode, "%v", err)
	}
	before, known := i.nodes.Of(r.Host, key)
	if err := i.nodes.Admit(cert, r.Host, key); err != nil {
		return none, refuse(CodeNode, "%v", err)
	}
	if !known || !bytes.Equal(before.Text(), cert.Text()) {
		if err := i.Store.Save(fileNodes, i.nodes.Text()); err != nil {
			i.Logger.Warn("node certificates not kept", "err", err)
		}
	}
	if err := cert.Key.Verify(trust.PurposeCertificate, signed.Body, signed.Signature); err != nil {
		return none, refuse(CodeNode, "%v", err)
	}
	switch err := i.nonces.use(r.Nonce, now); {
	case errors.Is(err, errNonceFull):
		refusal := refuse(CodeBusy, "%v", err)
		refusal.Retry = nonceLife
		return none, refusal
	case err != nil:
		return none, refuse(CodeNonce, "%v", err)
	}
	return cert.Key, nil
}

// sign signs the leaf, and hands it out once the log has it. What cannot be
// logged is not handed out: other authorities can, and leaves last for days.
func (i *Issuer) sign(r Request, node trust.NodePublic, now time.Time) (trust.Chain, *Refusal) {
	order := trust.Order{Service: r.Service, Request: r.Key, Mesh: i.fleet.Config.Domain, TTL: i.fleet.leafTTL()}
	chain, err := i.authority.SignLeaf(order, now)
	switch {
	case errors.Is(err, trust.ErrTime):
		return nil, refuse(CodeAuthority, "%v", err)
	case err != nil:
		return nil, refuse(CodeForm, "%v", err)
	}
	line := Issued{
		Time: now, Host: r.Host, Service: r.Service, Serial: chain[0].SerialNumber.Text(16),
		Until: chain[0].NotAfter, Node: node.String(), Issuer: i.authority.String(),
	}
	if err := i.Log.Append(line); err != nil {
		i.Logger.Error("leaf not handed out", "service", r.Service, "host", r.Host, "err", err)
		return nil, refuse(CodeLog, "the issue log of %s cannot be written", i.Host)
	}
	return chain, nil
}
