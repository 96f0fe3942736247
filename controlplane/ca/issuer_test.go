package ca

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// ask makes a host's request, as an honest keeper does.
func (r *rig) ask(from, authority, service string) (Request, trust.LeafKey) {
	r.t.Helper()
	key := must(trust.NewLeafKey(service))(r.t)
	return Request{
		Authority: authority, Host: from, Service: service, NodeCert: string(r.hosts[from].cert.Text()),
		Key: key.Request, Nonce: must(r.issuer[authority].Challenge(from))(r.t),
	}, key
}

func (r *rig) signed(q Request, by *host) SignedRequest {
	r.t.Helper()
	return must(q.sign(by.node))(r.t)
}

func code(a Answer) Code {
	if a.Refusal == nil {
		return ""
	}
	return a.Refusal.Code
}

func TestIssuerSignsWhatIsPlaced(t *testing.T) {
	r := newRig(t)
	for _, test := range []struct{ host, service string }{{"app1", "api"}, {"app1", "web"}, {"app2", "api"}, {"db1", "pg"}, {"edge1", "public"}} {
		q, key := r.ask(test.host, "db1", test.service)
		answer := r.issuer["db1"].Issue(r.signed(q, r.hosts[test.host]))
		text := must(answer.Encode())(t)
		answer = must(ParseAnswer(text))(t)
		o, err := judge(key, test.service, "db1", answer.Chain, r.fleet.Roots, time.Now())
		if err != nil || o.err != nil {
			t.Fatalf("%s on %s: %v, %v, %v", test.service, test.host, answer.Refusal, err, o.err)
		}
		leaf := o.leaf.Chain[0]
		if leaf.DNSNames[0] != test.service+".mesh" || time.Until(leaf.NotAfter) > 72*time.Hour || time.Until(leaf.NotAfter) < 71*time.Hour {
			t.Errorf("%s: %v until %s", test.service, leaf.DNSNames, leaf.NotAfter)
		}
		line := r.log["db1"].all[len(r.log["db1"].all)-1]
		want := Issued{Time: line.Time, Host: test.host, Service: test.service, Serial: leaf.SerialNumber.Text(16), Until: leaf.NotAfter,
			Node: r.hosts[test.host].node.Public().String(), Issuer: "shop CA (db1)"}
		if line != want || time.Since(line.Time) > time.Minute {
			t.Errorf("logged %+v, want %+v", line, want)
		}
	}
	if s := r.issuer["db1"].Status(); s.Issued != 5 || !s.Authority || s.Name != "shop CA (db1)" || s.Level != trust.LevelOK || len(s.Refused) != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestIssuerRefuses(t *testing.T) {
	r := newRig(t)
	app1, app2 := r.hosts["app1"], r.hosts["app2"]
	thief := newHost(t, "app1") // says it is app1
	stranger := newHost(t, "stranger")
	for name, test := range map[string]struct {
		by   *host
		edit func(q *Request)
		want Code
	}{
		"honest":                       {app1, func(*Request) {}, ""},
		"not placed there":             {app1, func(q *Request) { q.Service = "pg" }, CodePlacement},
		"no such service":              {app1, func(q *Request) { q.Service = "nothing" }, CodePlacement},
		"no name":                      {app1, func(q *Request) { q.Service = "../api" }, CodePlacement},
		"another gateway":              {app1, func(q *Request) { q.Service = "public" }, CodePlacement},
		"signed by another host":       {app2, func(*Request) {}, CodeNode},
		"another host's name":          {app2, func(q *Request) { q.Host = "app1" }, CodeNode},
		"with another host's cert":     {app2, func(q *Request) { q.NodeCert = string(app2.cert.Text()) }, CodeNode},
		"host in the cert is another":  {app1, func(q *Request) { q.Host = "app2" }, CodeNonce},
		"a cert by another host key":   {thief, func(q *Request) { q.NodeCert = string(thief.cert.Text()) }, CodeNode},
		"a cert that is none":          {app1, func(q *Request) { q.NodeCert = "x" }, CodeNode},
		"a host that is not here":      {stranger, func(q *Request) { q.Host, q.NodeCert = "stranger", string(stranger.cert.Text()) }, CodeHost},
		"to another authority":         {app1, func(q *Request) { q.Authority = "db2" }, CodeForm},
		"a nonce of another host":      {app1, func(q *Request) { q.Nonce = must(r.issuer["db1"].Challenge("app2"))(t) }, CodeNonce},
		"a nonce of another authority": {app1, func(q *Request) { q.Nonce = must(r.issuer["db2"].Challenge("app1"))(t) }, CodeNonce},
		"a nonce of its own":           {app1, func(q *Request) { q.Nonce = make([]byte, nonceSize) }, CodeNonce},
		"no nonce":                     {app1, func(q *Request) { q.Nonce = nil }, CodeNonce},
		"no key":                       {app1, func(q *Request) { q.Key = nil }, CodeForm},
		"a changed key":                {app1, func(q *Request) { q.Key[len(q.Key)-1] ^= 1 }, CodeForm},
	} {
		q, _ := r.ask("app1", "db1", "api")
		test.edit(&q)
		if test.by == app2 && q.Host == "app1" && q.NodeCert != string(app2.cert.Text()) {
			q.NodeCert = string(app1.cert.Text()) // public, so app2 has it
		}
		answer := r.issuer["db1"].Issue(r.signed(q, test.by))
		if code(answer) != test.want {
			t.Errorf("%s: %v, want %q", name, answer.Refusal, test.want)
		}
	}
	if n := len(r.log["db1"].all); n != 1 {
		t.Errorf("%d leaves were issued", n)
	}
	for name, body := range map[string][]byte{
		"empty": nil, "no JSON": []byte("hello"), "another schema": []byte(`{"schema":"nixmesh.certificate/2"}`),
		"two values": []byte(`{"schema":"nixmesh.certificate/1"} {}`), "huge": append([]byte(`{"schema":"`), bytes.Repeat([]byte("x"), maxRequest)...),
	} {
		if a := r.issuer["db1"].Issue(SignedRequest{body, nil}); code(a) != CodeForm {
			t.Errorf("%s: %v", name, a.Refusal)
		}
	}
	q, _ := r.ask("app1", "db1", "api")
	s := r.signed(q, app1)
	for i := range s.Body {
		bent := SignedRequest{bytes.Clone(s.Body), s.Signature}
		bent.Body[i] ^= 1
		if a := r.issuer["db1"].Issue(bent); a.Refusal == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
}

func TestARequestServesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		q, _ := r.ask("app1", "db1", "api")
		s := r.signed(q, r.hosts["app1"])
		if a := r.issuer["db1"].Issue(s); a.Refusal != nil {
			t.Fatal(a.Refusal)
		}
		if a := r.issuer["db1"].Issue(s); code(a) != CodeNonce {
			t.Errorf("replayed: %v", a.Refusal)
		}
		q, _ = r.ask("app1", "db1", "api")
		late := r.signed(q, r.hosts["app1"])
		time.Sleep(nonceLife + time.Second)
		if a := r.issuer["db1"].Issue(late); code(a) != CodeNonce {
			t.Errorf("late: %v", a.Refusal)
		}
		q, _ = r.ask("app1", "db1", "api")
		again := r.signed(q, r.hosts["app1"])
		if a := r.start("db1").Issue(again); code(a) != CodeNonce {
			t.Errorf("after a restart: %v", a.Refusal)
		}
	})
}

// Who copied a node key can use it until the host has made another one; then
// not even a restarted authority takes it.
func TestAReplacedNodeKeyIsRefused(t *testing.T) {
	r := newRig(t)
	app1 := r.hosts["app1"]
	stolen := *app1
	use := func(h *host) Code {
		q, _ := r.ask("app1", "db1", "api")
		q.NodeCert = string(h.cert.Text())
		return code(r.issuer["db1"].Issue(r.signed(q, h)))
	}
	if got := use(&stolen); got != "" {
		t.Errorf("before: %q", got)
	}
	app1.renew(t)
	if got := use(app1); got != "" {
		t.Errorf("the new one: %q", got)
	}
	if got := use(&stolen); got != CodeNode {
		t.Errorf("the stolen one: %q", got)
	}
	r.start("db1")
	if got := use(&stolen); got != CodeNode {
		t.Errorf("the stolen one after a restart: %q", got)
	}
	fresh := newHost(t, "app1")
	r.change(func(c *mesh.Config) { c.Hosts["app1"] = &mesh.Host{HostKey: fresh.key.Authorized} }, r.fleet.Roots)
	if got := use(app1); got != CodeNode {
		t.Errorf("after the host key changed: %q", got)
	}
	if got := use(fresh); got != "" {
		t.Errorf("of the new host key: %q", got)
	}
	r.change(func(c *mesh.Config) { c.Hosts["app1"] = &mesh.Host{} }, r.fleet.Roots)
	q := Request{Authority: "db1", Host: "app1", Service: "api", NodeCert: string(fresh.cert.Text())}
	if got := code(r.issuer["db1"].Issue(r.signed(q, fresh))); got != CodeHost {
		t.Errorf("no host key: %q", got)
	}
}

func TestIssuerThatCannotSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		use := func() Answer {
			q, _ := r.ask("app1", "db1", "api")
			return r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"]))
		}
		r.log["db1"].full = true
		if a := use(); code(a) != CodeLog || a.Chain != "" {
			t.Errorf("full disk: %v", a.Refusal)
		}
		r.log["db1"].full = false
		roots := r.fleet.Roots
		r.change(func(c *mesh.Config) { c.CA.Authorities = mesh.Names{"db2"} }, roots)
		if a := use(); code(a) != CodeAuthority {
			t.Errorf("no authority any more: %v", a.Refusal)
		}
		r.change(func(c *mesh.Config) { c.CA.Authorities = mesh.Names{"db1", "db2"} }, roots)
		next := must(trust.NextRoot("shop", r.root.Domain, time.Now()))(t)
		r.change(func(*mesh.Config) {}, must(trust.NewBundle(next.Domain, next.Certificate))(t))
		if a := use(); code(a) != CodeAuthority || !strings.Contains(a.Refusal.Text, "no root") {
			t.Errorf("its root was dropped: %v", a.Refusal)
		}
		r.change(func(*mesh.Config) {}, roots)
		if a := use(); a.Refusal != nil {
			t.Errorf("good again: %v", a.Refusal)
		}
		time.Sleep(trust.IntermediateTTL - 30*time.Hour)
		a := use()
		chain := must(trust.ParseChain([]byte(a.Chain)))(t)
		if left := time.Until(chain[0].NotAfter); left > 30*time.Hour {
			t.Errorf("the leaf outlives its intermediate by %s", left-30*time.Hour)
		}
		if s := r.issuer["db1"].Status(); s.Level != trust.LevelCritical {
			t.Errorf("level %s", s.Level)
		}
		time.Sleep(31 * time.Hour)
		if a := use(); code(a) != CodeAuthority {
			t.Errorf("intermediate expired: %v", a.Refusal)
		}
		if s := r.issuer["db1"].Status(); s.Level != trust.LevelExpired || s.Refused[CodeAuthority] != 3 {
			t.Errorf("status %+v", s)
		}
		request := must(r.issuer["db1"].Request())(t)
		signed := must(r.root.SignAuthority(request, "db1", trust.IntermediateTTL, time.Now()))(t)
		if err := r.issuer["db1"].Install(signed); err != nil {
			t.Error(err)
		}
		if a := use(); a.Refusal != nil {
			t.Errorf("renewed: %v", a.Refusal)
		}
	})
}

func TestIntermediateIsAskedForOnce(t *testing.T) {
	r := newRig(t)
	first := must(r.issuer["db1"].Request())(t)
	i := r.start("db1")
	if again := must(i.Request())(t); !sameKey(t, first, again) {
		t.Error("a restart made another key")
	}
	if s := i.Status(); !s.Requested || s.Name != "shop CA (db1)" {
		t.Errorf("status %+v", s)
	}
	other := must(r.issuer["db2"].Request())(t)
	for name, bad := range map[string][]byte{
		"another host's": must(r.root.SignAuthority(other, "db2", day, time.Now()))(t),
		"no certificate": []byte("x"),
		"the request":    first,
	} {
		if err := i.Install(bad); !errors.Is(err, trust.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.hosts["db1"].store.setFull(true)
	good := must(r.root.SignAuthority(first, "db1", day, time.Now()))(t)
	if err := i.Install(good); !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
	r.hosts["db1"].store.setFull(false)
	if err := i.Install(good); err != nil {
		t.Error(err)
	}
	if err := i.Install(good); err == nil {
		t.Error("installed what nobody asked for")
	}
	if _, kept := r.hosts["db1"].store.files[filePending]; kept {
		t.Error("the answered request is kept")
	}
	if s := r.start("db1").Status(); time.Until(s.Life.Until) > day || s.Requested {
		t.Errorf("after a restart: %+v", s)
	}
}

func sameKey(t *testing.T, a, b []byte) bool {
	t.Helper()
	root := must(trust.NewRoot("shop", time.Now()))(t)
	x := must(trust.ParseCertificates(must(root.SignAuthority(a, "db1", day, time.Now()))(t), 1))(t)
	y := must(trust.ParseCertificates(must(root.SignAuthority(b, "db1", day, time.Now()))(t), 1))(t)
	return trust.Fingerprint(x[0]) == trust.Fingerprint(y[0])
}

func TestIssuerSetsCorruptFilesAside(t *testing.T) {
	r := newRig(t)
	q, _ := r.ask("app1", "db1", "api")
	r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"]))
	must(r.issuer["db1"].Request())(t)
	files := r.hosts["db1"].store.files
	for name := range files {
		files[name] = append(bytes.Clone(files[name]), "junk"...)
	}
	s := r.start("db1").Status()
	if len(s.SetAside) != 3 || s.Name != "" || s.Level != trust.LevelExpired || s.Requested {
		t.Errorf("status %+v", s)
	}
	q, _ = r.ask("app1", "db1", "api")
	if a := r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"])); code(a) != CodeAuthority {
		t.Errorf("without intermediate: %v", a.Refusal)
	}
	r.appoint("db1", r.root)
	q, _ = r.ask("app1", "db1", "api")
	if a := r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"])); a.Refusal != nil {
		t.Errorf("rebuilt: %v", a.Refusal)
	}
}

func TestIssuerLimitsAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		use := func(from string) Answer {
			q, _ := r.ask(from, "db1", "api")
			return r.issuer["db1"].Issue(r.signed(q, r.hosts[from]))
		}
		n := 0
		var last Answer
		for last = use("app1"); last.Refusal == nil; last = use("app1") {
			n++
		}
		if n != 2*2+hostSpare || code(last) != CodeBusy || last.Refusal.Retry <= 0 || last.Refusal.Retry > time.Minute {
			t.Errorf("%d leaves, then %v after %s", n, last.Refusal, last.Refusal.Retry)
		}
		if a := use("app2"); a.Refusal != nil {
			t.Errorf("another host pays: %v", a.Refusal)
		}
		time.Sleep(last.Refusal.Retry + time.Millisecond)
		if a := use("app1"); a.Refusal != nil {
			t.Errorf("after the wait: %v", a.Refusal)
		}
		r.hosts["db1"].clock.set(-day)
		if a := use("app2"); code(a) == CodeBusy {
			t.Errorf("the clock went back: %v", a.Refusal)
		}
	})
}

func TestChallengesAreForHosts(t *testing.T) {
	r := newRig(t)
	if _, err := r.issuer["db1"].Challenge("stranger"); !isRefusal(err, CodeHost) {
		t.Errorf("a stranger: %v", err)
	}
	h := r.hosts["db1"]
	fresh := must(NewIssuer(IssuerOptions{Host: "db1", Store: &memory{}, Log: &lines{}, Clock: h.clock, Logger: quiet()}))(t)
	if _, err := fresh.Challenge("app1"); !isRefusal(err, CodeHost) {
		t.Errorf("before it knows the fleet: %v", err)
	}
	if a := fresh.Issue(SignedRequest{Body: []byte(`{"schema":"nixmesh.certificate/1","authority":"db1"}`)}); code(a) != CodeAuthority {
		t.Errorf("before it knows the fleet: %v", a.Refusal)
	}
	if err := fresh.Install(nil); err == nil {
		t.Error("installed before it knows the fleet")
	}
	if s := fresh.Status(); s.Authority || s.Level != trust.LevelOK {
		t.Errorf("status %+v", s)
	}
}

// No answer and no status says a secret.
func TestSecretsStayIn(t *testing.T) {
	r := newRig(t)
	q, _ := r.ask("app1", "db1", "api")
	answer := must(r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"])).Encode())(t)
	status := must(json.Marshal(r.issuer["db1"].Status()))(t)
	log := must(json.Marshal(r.log["db1"].all))(t)
	request := r.signed(q, r.hosts["app1"]).Body
	for _, text := range [][]byte{answer, status, log, request} {
		if bytes.Contains(text, []byte("PRIVATE")) {
			t.Errorf("%s", text)
		}
	}
}
