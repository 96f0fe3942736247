package delta

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// peer is a strict Envoy without a network: it behaves as Envoy was seen to, and
// fails the test on whatever a server must not do.
type peer struct {
	fail func(format string, args ...any)
	s    *Server
	st   *stream

	poisoned func(r *xds.Resource) bool
	world    map[string]*xds.Resource // by key and version: what was ever wanted
	since    map[xds.Key]time.Time    // when a key became wanted, or ceased to be

	types   map[xds.Type]*side
	wire    []*response // sent, and not yet delivered
	nonces  map[string]bool
	forgot  bool     // the server's process is a new one: it cannot know what a refused message left
	leaving []string // removed by the message that is being applied
	slow    bool     // it was made to wait: bounded waits may have run out
}

// side is the peer's view of a type.
type side struct {
	asked, wild bool
	subs        map[string]bool
	have        map[string]string // applied
	recorded    map[string]string // what it will say after a reconnect
	none        map[string]bool   // told that there is none
	told        map[string]string // what it has once all that is on the wire is delivered
	may         map[string]bool   // may be sent though it is unchanged
	tainted     map[string]bool   // were in a message that it refused, or on the wire
	warming     map[string]bool   // clusters that wait for their assignment
	heard       map[string]string // body of the last that came, taken or not, of what goes alone
	owed        []*response       // clusters' answers that wait for warming
}

func newPeer(s *Server, fail func(string, ...any)) *peer {
	p := &peer{fail: fail, s: s, world: map[string]*xds.Resource{}, since: map[xds.Key]time.Time{}, poisoned: func(*xds.Resource) bool { return false }}
	p.restart()
	return p
}

// restart is a new Envoy process.
func (p *peer) restart() {
	p.spill()
	before := p.types
	p.types = map[xds.Type]*side{}
	for _, t := range xds.Types() {
		p.types[t] = &side{
			subs: map[string]bool{}, have: map[string]string{}, recorded: map[string]string{}, none: map[string]bool{},
			told: map[string]string{}, may: map[string]bool{}, warming: map[string]bool{}, tainted: map[string]bool{},
			heard: map[string]string{},
		}
		if before != nil { // the server cannot tell a new process from one that refused all
			p.types[t].tainted = before[t].tainted
		}
	}
	p.connect()
}

// spill loses what is on the wire.
func (p *peer) spill() {
	lost := p.wire
	if c := p.types[xds.Cluster]; c != nil {
		lost = append(lost, c.owed...)
	}
	for _, m := range lost {
		for _, r := range m.GetResources() {
			p.types[xds.Type(m.GetTypeUrl())].tainted[r.GetName()] = true
		}
	}
	p.wire = nil
}

// connect opens a stream, with what the peer has.
func (p *peer) connect() {
	p.st = p.s.open(func(error) {})
	p.spill()
	p.nonces = map[string]bool{}
	clusters := p.types[xds.Cluster]
	clusters.owed = nil
	recorded := 0
	for _, d := range p.types {
		recorded += len(d.recorded)
	}
	if recorded == 0 { // the server cannot tell it from a new process
		clear(p.types[xds.Secret].heard)
		clear(p.types[xds.Extension].heard)
	}
	for _, t := range xds.Types() {
		d := p.types[t]
		d.asked = false
		d.told = maps.Clone(d.recorded)
		for name := range d.none {
			delete(d.none, name)
		}
	}
	if len(clusters.warming) == 0 {
		p.ask(xds.Cluster)
	}
	for _, t := range []xds.Type{xds.Assignment, xds.Secret, xds.Route, xds.Extension} {
		d := p.types[t]
		if len(d.subs) > 0 {
			if t == xds.Assignment && !clusters.asked {
				for name := range d.subs {
					d.may[name] = true
				}
			}
			p.ask(t)
		}
	}
	if clusters.asked && p.types[xds.Listener].wild {
		p.ask(xds.Listener)
	}
	p.warmed()
}

// ask sends the first request of a type on a stream.
func (p *peer) ask(t xds.Type) {
	d := p.types[t]
	d.asked = true
	req := &request{TypeUrl: string(t), InitialResourceVersions: maps.Clone(d.recorded)}
	req.Node = &core.Node{Id: "host1", UserAgentVersionType: &core.Node_UserAgentVersion{UserAgentVersion: "1.40.0"}}
	if t == xds.Cluster || t == xds.Listener {
		d.wild = true
	} else {
		req.ResourceNamesSubscribe = slices.Sorted(maps.Keys(d.subs))
	}
	p.hear(req)
}

func (p *peer) hear(req *request) {
	if err := p.s.hear(p.st, req); err != nil {
		p.fail("request refused: %v", err)
	}
}

// pump has the server look, checks what it sends, and returns when it wants to look again.
func (p *peer) pump() time.Time {
	out, next := p.s.flush(p.st)
	for _, m := range out {
		p.check(m)
	}
	p.wire = append(p.wire, out...)
	return next
}

func (p *peer) check(m *response) {
	d := p.types[xds.Type(m.GetTypeUrl())]
	if d == nil || !d.asked {
		p.fail("%s was not asked for", m.GetTypeUrl())
	}
	if m.GetNonce() == "" || p.nonces[m.GetNonce()] {
		p.fail("nonce %q is not new", m.GetNonce())
	}
	p.nonces[m.GetNonce()] = true
	if n := len(m.GetResources()) + len(m.GetRemovedResources()); n > countMost {
		p.fail("%d resources in a message", n)
	}
	for _, r := range m.GetResources() {
		name := r.GetName()
		if r.GetVersion() == blankVersion {
			continue
		}
		if !d.wild && !d.subs[name] {
			p.fail("%s was not asked for", name)
		}
		doubt := p.s.shelf.maybe[xds.Key{Type: xds.Type(m.GetTypeUrl()), Name: name}] // a message with it was refused, maybe by another process
		if d.told[name] == r.GetVersion() && !d.may[name] && !doubt {
			p.fail("%s was sent again as it was", name)
		}
		full := p.world[name+"\x00"+m.GetTypeUrl()+"\x00"+r.GetVersion()]
		if full == nil || string(full.Body) != string(r.GetResource().GetValue()) {
			p.fail("%s in version %s never was wanted", name, r.GetVersion())
		}
		d.told[name] = r.GetVersion()
		delete(d.may, name)
		if full.Type == xds.Cluster {
			for _, need := range full.Needs {
				p.types[need.Type].may[need.Name] = true
			}
		}
	}
	for _, name := range m.GetRemovedResources() {
		if _, had := d.told[name]; !had && !d.subs[name] && !d.tainted[name] { // what was in a refused message may be there
			p.fail("%s was removed without having been there", name)
		}
		if d.none[name] && !d.may[name] {
			p.fail("%s was said to be missing twice", name)
		}
		delete(d.told, name)
		delete(d.may, name)
	}
}

// deliver applies the oldest message, and answers.
func (p *peer) deliver() bool {
	if len(p.wire) == 0 {
		return false
	}
	m := p.wire[0]
	p.wire = p.wire[1:]
	t := xds.Type(m.GetTypeUrl())
	d := p.types[t]
	var bad []string
	good := map[string]string{}
	for _, r := range m.GetResources() {
		if alone(t) && d.subs[r.GetName()] {
			body := string(r.GetResource().GetValue())
			if d.heard[r.GetName()] == body { // it does not look at it again
				good[r.GetName()] = r.GetVersion()
				continue
			}
			d.heard[r.GetName()] = body
		}
		if r.GetVersion() == blankVersion {
			bad = append(bad, r.GetName())
			continue
		}
		full := p.world[r.GetName()+"\x00"+m.GetTypeUrl()+"\x00"+r.GetVersion()]
		if p.poisoned(full) {
			bad = append(bad, r.GetName())
			if t == xds.Assignment {
				p.fed(r.GetName()) // a refused one ends the wait, with nothing
			}
			continue
		}
		good[r.GetName()] = r.GetVersion()
		p.apply(d, full)
	}
	p.leaving = m.GetRemovedResources()
	for _, name := range m.GetRemovedResources() {
		p.remove(d, xds.Key{Type: t, Name: name})
	}
	if len(bad) == 0 {
		for name, v := range good {
			if d.wild || d.subs[name] {
				d.recorded[name] = v
			}
		}
	} else { // the versions of such a message are not kept
		for _, r := range m.GetResources() {
			if r.GetVersion() == blankVersion {
				continue
			}
			d.tainted[r.GetName()] = true
			if v, ok := d.recorded[r.GetName()]; ok {
				d.told[r.GetName()] = v
			} else {
				delete(d.told, r.GetName())
			}
			d.may[r.GetName()] = true
		}
	}
	if t == xds.Cluster {
		d.owed = append(d.owed, m)
		m.SystemVersionInfo = strings.Join(bad, ",") // kept for the answer
	} else {
		p.reply(m, bad)
	}
	p.resubscribe()
	p.warmed()
	return true
}

func (p *peer) reply(m *response, bad []string) {
	req := &request{TypeUrl: m.GetTypeUrl(), ResponseNonce: m.GetNonce()}
	if len(bad) > 0 {
		text := "rejected"
		if t := xds.Type(m.GetTypeUrl()); t == xds.Cluster || t == xds.Listener {
			text = "Error adding/updating: "
			for _, name := range bad {
				text += name + ": it is poisoned\n"
			}
		}
		req.ErrorDetail = &rpc.Status{Code: 13, Message: text}
	}
	p.hear(req)
}

// settle lets everything run until nothing happens any more.
func (p *peer) settle() {
	for range 2000 {
		next := p.pump()
		if p.deliver() {
			continue
		}
		if p.timeout() {
			continue
		}
		if next.IsZero() || time.Until(next) > 20*time.Second {
			return
		}
		time.Sleep(time.Until(next))
	}
	p.fail("it never settles: %+v", p.s.Status())
}

// timeout is the end of the wait for an assignment of which the server has no
// version that is good: Envoy's initial_fetch_timeout. All others have to come.
func (p *peer) timeout() bool {
	before := len(p.types[xds.Cluster].warming)
	for k := range p.s.shelf.refused {
		if k.Type == xds.Assignment && p.s.shelf.entry(k).good == nil {
			p.fed(k.Name)
		}
	}
	if len(p.types[xds.Cluster].warming) == before {
		return false
	}
	p.warmed()
	return true
}

// thing makes a resource whose body says all of it.
func thing(t xds.Type, name, body string, needs ...xds.Key) *xds.Resource {
	text := fmt.Sprint(body, needs)
	r := &xds.Resource{Key: xds.Key{Type: t, Name: name}, Version: text, Body: []byte(name + " " + text), Needs: needs, About: xds.About{Service: "s"}}
	if alone(t) {
		r.Body = saying(t, name, text)
	}
	return r
}

// saying is the body of a secret or an extension that says the text.
func saying(t xds.Type, name, text string) []byte {
	if t == xds.Extension {
		return xds.Any(&core.TypedExtensionConfig{Name: name, TypedConfig: xds.Any(&rbachttp.RBAC{RulesStatPrefix: text})}).GetValue()
	}
	return xds.Any(&tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline([]byte(text)), PrivateKey: inline([]byte(text)),
	}}}).GetValue()
}

// want has the server told, and remembers it.
func (p *peer) want(rs ...*xds.Resource) {
	p.learn(rs)
	p.s.Replace(rs)
}

func (p *peer) learn(rs []*xds.Resource) {
	for _, r := range rs {
		p.world[r.Name+"\x00"+string(r.Type)+"\x00"+r.Version] = r
	}
}
