package rollback

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// call runs a verb on a simulated host and decodes a refusal.
func (s *simHost) refusal(req string, environ []string, args ...string) (Refusal, int) {
	s.t.Helper()
	env := s.env([]byte(req), environ)
	code := Main(context.Background(), env, args)
	var r Refusal
	json.Unmarshal(s.out.Bytes(), &r)
	return r, code
}

// TestCommandLine: the list of verbs is closed, ids and requests are checked.
func TestCommandLine(t *testing.T) {
	sudo := []string{"SUDO_UID=999"}
	cases := []struct {
		req     string
		environ []string
		args    string
		want    string
	}{
		{"", nil, "", "no verb"},
		{"", nil, "shell", "not a verb"},
		{"", sudo, "revert-run r1-a", "not a verb"},
		{"", sudo, "reconcile", "not a verb"},
		{"", sudo, "commit ../../etc", "run id"},
		{"", sudo, "commit R1", "run id"},
		{"", sudo, "commit", "one run id"},
		{"", sudo, "commit r1-a r1-b", "one run id"},
		{"", sudo, "lease steal run", "take|renew|drop"},
		{"", sudo, "lease take all", "take|renew|drop"},
		{"", sudo, "status --now", "unexpected"},
		{`{"evil":1}`, sudo, "preflight", "unknown field"},
		{`{} {}`, sudo, "preflight", "more than one"},
		{`{"holder":"` + strings.Repeat("x", maxRequest) + `"}`, sudo, "lease take run", "larger than"},
	}
	for _, c := range cases {
		s := newSimHost(t)
		r, code := s.refusal(c.req, c.environ, strings.Fields(c.args)...)
		if code != exitRefused || r.Code != CodeUsage || !strings.Contains(r.Error, c.want) {
			t.Errorf("%q: status %d, %+v; want …%s…", c.args, code, r, c.want)
		}
	}
}

// TestLease: one holder, staleness by the host's own clock, and a run under way
// that no lease can take over.
func TestLease(t *testing.T) {
	s := newSimHost(t)
	take := func(run string) (Refusal, int) {
		return s.refusal(`{"run":"`+run+`","holder":"anna@laptop","reason":"release 2"}`, nil, "lease", "take", "run")
	}
	if r, code := take("r1-a"); code != 0 {
		t.Fatal(r)
	}
	if r, code := take("r2-b"); code != exitRefused || r.Code != CodeLeaseHeld || !strings.Contains(r.Error, "anna@laptop") {
		t.Errorf("second take: %d %+v", code, r)
	}
	s.now += LeaseStaleAfter - time.Second
	if _, code := take("r1-a"); code != 0 {
		t.Error("renewal is refused")
	}
	s.now += LeaseStaleAfter - time.Second
	if _, code := take("r2-b"); code == 0 {
		t.Error("a renewed lease was taken over")
	}
	s.now += 2 * time.Second
	if r, code := take("r2-b"); code != 0 {
		t.Errorf("stale lease is held: %+v", r)
	}
	if r, code := s.refusal("", nil, "activate", "r1-a"); code != exitRefused || r.Code != CodeLeaseHeld {
		t.Errorf("activate without the lease: %d %+v", code, r)
	}
	j := s.helper().journals
	if err := j.create(&Journal{Schema: JournalSchema, Run: "r2-b"}, func(*Journal) error { return nil }); err != nil {
		t.Fatal(err)
	}
	s.timers[timerName(timerB, "r2-b")] = s.now + time.Hour
	if _, err := j.change("r2-b", []Phase{PhaseRooted}, PhaseVerifying, func(j *Journal) { j.Deadline = s.now.Seconds() + 40 }); err != nil {
		t.Fatal(err)
	}
	s.now += 2 * LeaseStaleAfter / 3
	s.refusal(`{"run":"r2-b"}`, nil, "lease", "drop", "run")
	if r, code := take("r3-c"); code != exitRefused || r.Code != CodeBusy || !strings.Contains(r.Error, "resolves itself") {
		t.Errorf("take over a run under way: %d %+v", code, r)
	}
}

// TestRootRefuses: a toplevel has to be this host's, signed by a deployer who
// is not revoked, and planned for what runs.
func TestRootRefuses(t *testing.T) {
	s := newSimHost(t)
	sign := func(seed byte, p string) string {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
		return "k:" + base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte("1;"+p+";sha256:h;1;")))
	}
	facts := func(fleet, host string) string {
		return `{"fleet":"` + fleet + `","host":"` + host + `","rollout":{"confirm":"90s","settle":"3s","activate_timeout":"10m"}}`
	}
	const otherHost = "/nix/store/33333333333333333333333333333333-nixos-system-h2-1"
	const otherFleet = "/nix/store/44444444444444444444444444444444-nixos-system-h1-3"
	s.disk.put(otherHost+"/etc/nixmesh/host.json", facts("lab", "h2"))
	s.disk.put(otherFleet+"/etc/nixmesh/host.json", facts("prod", "h1"))
	s.refusal(`{"run":"r2-a","holder":"anna"}`, nil, "lease", "take", "run")
	cases := []struct {
		name string
		req  RootRequest
		code string
	}{
		{"no signature", RootRequest{New: simNew}, CodeSignature},
		{"another's key", RootRequest{New: simNew, Signatures: []string{sign(8, simNew)}}, CodeSignature},
		{"signature of another path", RootRequest{New: simNew, Signatures: []string{sign(7, simOld)}}, CodeSignature},
		{"another host's", RootRequest{New: otherHost, Signatures: []string{sign(7, otherHost)}}, CodeWrongHost},
		{"another fleet's", RootRequest{New: otherFleet, Signatures: []string{sign(7, otherFleet)}}, CodeWrongHost},
		{"no toplevel", RootRequest{New: "/nix/store/../../etc"}, CodeWrongHost},
		{"runs something else", RootRequest{New: simNew, Expect: simNew, Signatures: []string{sign(7, simNew)}}, CodeDrift},
		{"profile is another", RootRequest{New: simNew, Profile: simNew, Signatures: []string{sign(7, simNew)}}, CodeDrift},
		{"first contact again", RootRequest{New: simNew, First: true, Signatures: []string{sign(7, simNew)}}, CodeUsage},
	}
	for _, c := range cases {
		b, err := json.Marshal(c.req)
		if err != nil {
			t.Fatal(err)
		}
		if r, code := s.refusal(string(b), nil, "root", "r2-a"); code != exitRefused || r.Code != c.code {
			t.Errorf("%s: status %d, %+v; want %s", c.name, code, r, c.code)
		}
	}
	good, err := json.Marshal(RootRequest{New: simNew, Signatures: []string{sign(8, simNew), sign(7, simNew)}})
	if err != nil {
		t.Fatal(err)
	}
	s.disk.put(revokedFile, s.raw7())
	if r, code := s.refusal(string(good), nil, "root", "r2-a"); code != exitRefused || r.Code != CodeSignature {
		t.Errorf("revoked key: status %d, %+v", code, r)
	}
	delete(s.disk.names, revokedFile)
	if r, code := s.refusal(string(good), nil, "root", "r2-a"); code != 0 {
		t.Errorf("good request: %+v", r)
	}
}

// raw7 is the host's one deployer key as the list of removed ones has it.
func (s *simHost) raw7() string {
	return hostfacts.NixKey(s.helper().text(simOld + hostfacts.DeployersPath))
}
