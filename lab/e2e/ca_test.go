package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/trust"
)

// certs asks a host's agent for its certificates, as root; nil where it does not
// answer.
func (f *fleet) certs(host string) *agentapi.Certs {
	f.t.Helper()
	r := f.ssh(host, "curl -sf --max-time 60 --unix-socket /run/nixmesh/api.sock http://agent"+agentapi.PathCerts)
	if r.code != 0 {
		return nil
	}
	var c agentapi.Certs
	if err := json.Unmarshal([]byte(r.stdout), &c); err != nil {
		f.t.Fatalf("read the certificates of %s: %v: %s", host, err, r)
	}
	return &c
}

// leaf is a service's certificate on a host, nil where there is none.
func (f *fleet) leaf(host, service string) *agentapi.Cert {
	f.t.Helper()
	c := f.certs(host)
	if c == nil {
		return nil
	}
	i := slices.IndexFunc(c.Leaves, func(leaf agentapi.Cert) bool { return leaf.Name == service && !leaf.Until.IsZero() })
	if i < 0 {
		return nil
	}
	return &c.Leaves[i]
}

// wantLeaf waits for a leaf that is good by the host's own clock, and fits.
func (f *fleet) wantLeaf(t *testing.T, host, service string, fits func(agentapi.Cert) bool) agentapi.Cert {
	t.Helper()
	began := time.Now()
	var leaf *agentapi.Cert
	if !within(patience, func() bool {
		leaf = f.leaf(host, service)
		return leaf != nil && leaf.Level == agentapi.LevelOK && (fits == nil || fits(*leaf))
	}) {
		t.Fatalf("%s has no such leaf of %s after %s: %+v\n%+v\n%s", host, service, patience, leaf, f.certs(host),
			f.ssh(host, "journalctl -u "+agentUnit+" --no-pager -n 30"))
	}
	t.Logf("%s of %s after %.1f s: by %s, until %s", service, host, time.Since(began).Seconds(), leaf.Issuer, leaf.Until.Format(time.TimeOnly))
	return *leaf
}

// wantCerts is what a host's agent says of its certificates, which has to come.
func (f *fleet) wantCerts(t *testing.T, host string) *agentapi.Certs {
	t.Helper()
	var c *agentapi.Certs
	until(t, "the agent of "+host+" tells of its certificates", func() bool { c = f.certs(host); return c != nil })
	return c
}

// later says whether a leaf came after another one.
func later(than agentapi.Cert) func(agentapi.Cert) bool {
	return func(leaf agentapi.Cert) bool { return leaf.From.After(than.From) }
}

// losesLeaf takes a leaf from a host, so that its agent asks for another one.
func (f *fleet) losesLeaf(t *testing.T, host, service string) {
	t.Helper()
	f.ssh(host, "rm /var/lib/nixmesh/agent/certs/svc-"+service+".v1 && systemctl restart "+agentUnit).want(t, 0)
}

// signs lists which hosts sign, in the lock.
func (f *fleet) signs(hosts ...string) {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "nixmesh.lock"))
	if err != nil {
		text = []byte("nixmesh-lock 1\n")
	}
	kept := slices.DeleteFunc(slices.Collect(strings.Lines(string(text))), func(line string) bool { return strings.HasPrefix(line, "authority ") })
	for _, host := range hosts {
		kept = append(kept, "authority "+host+"\n")
	}
	slices.Sort(kept[1:])
	f.file("nixmesh.lock", strings.Join(kept, ""))
}

// wantOpenSSL holds the chain that a host has for a service against the lab's
// root by OpenSSL, by a clock that is so much ahead, and its one name.
func (f *fleet) wantOpenSSL(t *testing.T, host, service string, ahead time.Duration) {
	t.Helper()
	text := f.ssh(host, "cat /var/lib/nixmesh/agent/certs/svc-"+service+".v1").want(t, 0).stdout
	var kept struct{ Leaf string }
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		t.Fatalf("read the leaf of %s on %s: %v", service, host, err)
	}
	var chain []string
	for rest := []byte(kept.Leaf); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, string(pem.EncodeToMemory(block)))
		}
	}
	if len(chain) != 2 {
		t.Fatalf("a chain of %d certificates on %s", len(chain), host)
	}
	secret, err := os.ReadFile(filepath.Join(f.dir, ".nixmesh/lab/ca-root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := trust.ParseRoot(secret)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"root": string(trust.EncodeCertificates(root.Certificate)), "leaf": chain[0], "intermediate": chain[1]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := exec.Command("openssl", "verify", "-x509_strict", "-purpose", "sslserver",
		"-attime", strconv.FormatInt(time.Now().Add(ahead).Unix(), 10), "-CAfile", filepath.Join(dir, "root"),
		"-untrusted", filepath.Join(dir, "intermediate"), filepath.Join(dir, "leaf"))
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("openssl verify of %s on %s: %v: %s", service, host, err, out)
	}
	out, err := exec.Command("openssl", "x509", "-in", filepath.Join(dir, "leaf"), "-noout", "-ext", "subjectAltName,basicConstraints,keyUsage").CombinedOutput()
	if want := "URI:" + root.Domain.ServiceID(service); err != nil || strings.Count(string(out), "URI:") != 1 || !strings.Contains(string(out), want) {
		t.Errorf("names of %s on %s: want %s, got %s, %v", service, host, want, out, err)
	}
}

// TestCertificates: intermediates come with a deploy, leaves by themselves, and
// neither is lost or handed out wrongly, whoever is away, and whatever time it is.
func TestCertificates(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatal("openssl is needed")
	}
	f := newFleet(t, "h1", "h2", "h3")
	f.more = `  ca { leaf_ttl = "10m" }`
	f.set("service only", `service "only" {
  on      = ["h1"]
  package = "web"
  exec    = "bin/web --listen 127.0.0.1:$PORT"
  listen "http" {}
  check { http = "/healthz" }
}`)
	f.signs("h1", "h2")
	f.deploy().want(t, 0).says(t, "h1  note  signs certificates as e2e CA (h1)", "h2  note  signs certificates as e2e CA (h2)")

	t.Run("all levels are there", func(t *testing.T) {
		for _, host := range f.hosts {
			f.wantLeaf(t, host, "web", nil)
			f.wantOpenSSL(t, host, "web", 0)
		}
		f.wantLeaf(t, "h1", "only", nil)
		f.wantOpenSSL(t, "h1", "only", 0)
		c := f.wantCerts(t, "h3")
		if slices.ContainsFunc(c.Leaves, func(leaf agentapi.Cert) bool { return leaf.Name == "only" }) {
			t.Error("h3 has a leaf of a service that is not there")
		}
		if c.Authority != nil || len(c.Authorities) != 2 {
			t.Errorf("h3: %+v", c)
		}
		r := f.run("ca", "status").want(t, 0)
		for _, line := range []string{`(?m)^root +- +e2e CA \(root [0-9a-f]{8}\) .* ok$`, `(?m)^authority +h1 +e2e CA \(h1\) .* 364 d +ok$`,
			`(?m)^authority +h2 +e2e CA \(h2\) .* 364 d +ok$`, `(?m)^leaves +h1 +2 of 2 .* ok$`, `(?m)^leaves +h3 +1 of 1 .* ok$`} {
			if !regexp.MustCompile(line).MatchString(r.stdout) {
				t.Errorf("no line %s in %s", line, r)
			}
		}
		t.Log("\n" + r.stdout)
		f.run("ca", "renew").want(t, 0).says(t, "h1: needs none: e2e CA (h1) is good until", "h2: needs none")
		f.run("ca", "init").want(t, 0).says(t, "Nothing to do")
	})
	t.Run("nothing is due in a second deploy", func(t *testing.T) {
		r := f.deploy().want(t, 0)
		if strings.Contains(r.stdout+r.stderr, "signs certificates") {
			t.Error(r)
		}
	})
	t.Run("a lost intermediate comes with a deploy that changes nothing else", func(t *testing.T) {
		f.ssh("h1", "rm /var/lib/nixmesh/agent/authority/authority.v1 && systemctl restart "+agentUnit).want(t, 0)
		until(t, "h1 misses it", func() bool { c := f.certs("h1"); return c != nil && c.Authority == nil })
		f.run("plan").want(t, 0).says(t, "authority h1 has no intermediate yet: a deploy by lab signs one")
		f.run("ca", "status").want(t, 0).says(t, "none yet", "authority h1: no intermediate yet", "nixmesh --lab ca renew", "warn")
		f.deploy().want(t, 0).says(t, "h1  note  signs certificates as e2e CA (h1)")
		if c := f.wantCerts(t, "h1"); c.Authority == nil {
			t.Errorf("h1: %+v", c)
		}
	})
	t.Run("an intermediate that is asked for replaces the one before", func(t *testing.T) {
		if f.wantCerts(t, "h1").Authority == nil {
			t.Fatal("h1 has none")
		}
		kept := func() string {
			return f.ssh("h1", "sha256sum /var/lib/nixmesh/agent/authority/authority.v1").want(t, 0).stdout
		}
		before := kept()
		f.run("ca", "renew", "h1").want(t, 0).says(t, "h1: signs certificates as e2e CA (h1) until")
		// Their times may be of one second, so the certificates are compared.
		if after := kept(); after == before || f.wantCerts(t, "h1").Authority == nil {
			t.Errorf("it was %s and is %s", before, after)
		}
		f.losesLeaf(t, "h3", "web")
		f.wantLeaf(t, "h3", "web", nil)
		f.wantOpenSSL(t, "h3", "web", 0)
	})
	t.Run("one authority is down", func(t *testing.T) {
		f.lab("break", "h1", "--power", "--no-boot").want(t, 0)
		f.losesLeaf(t, "h3", "web")
		f.wantLeaf(t, "h3", "web", func(leaf agentapi.Cert) bool { return leaf.Issuer == "e2e CA (h2)" })
	})
	t.Run("all authorities are down", func(t *testing.T) {
		f.lab("break", "h2", "--power", "--no-boot").want(t, 0)
		before := f.wantLeaf(t, "h3", "web", nil)
		f.ssh("h3", "systemctl restart "+agentUnit).want(t, 0)
		after := f.wantLeaf(t, "h3", "web", nil)
		if !after.From.Equal(before.From) {
			t.Errorf("it was %+v and is %+v", before, after)
		}
		f.run("ca", "status").want(t, 7).says(t, "1 of 1")
		f.lab("heal").want(t, 0)
		f.losesLeaf(t, "h3", "web")
		f.wantLeaf(t, "h3", "web", nil) // by one of the two
		f.wantConvened(t)
	})
	t.Run("who may have what", f.testRefusals)
	t.Run("half of a leaf's life", func(t *testing.T) {
		before := f.wantLeaf(t, "h3", "web", nil)
		f.clocks(t, 6*time.Minute)
		f.wantLeaf(t, "h3", "web", later(before))
	})
	t.Run("an expired leaf", func(t *testing.T) {
		before := map[string]agentapi.Cert{}
		for _, host := range f.hosts {
			before[host] = f.wantLeaf(t, host, "web", nil)
		}
		f.clocks(t, time.Hour)
		for _, host := range f.hosts {
			f.wantLeaf(t, host, "web", later(before[host]))
			f.wantOpenSSL(t, host, "web", time.Hour)
		}
	})
	t.Run("a host that was away for longer than a leaf lives", func(t *testing.T) {
		before := f.wantLeaf(t, "h3", "web", nil)
		f.ssh("h3", "systemctl stop nixmesh-agent.socket "+agentUnit).want(t, 0)
		for _, host := range []string{"h1", "h2"} {
			was := f.wantLeaf(t, host, "web", nil)
			f.lab("break", host, "--clock", "+5h").want(t, 0)
			f.wantLeaf(t, host, "web", later(was))
		}
		f.lab("break", "h3", "--clock", "+5h").want(t, 0)
		f.ssh("h3", "systemctl start nixmesh-agent.socket "+agentUnit).want(t, 0)
		f.wantLeaf(t, "h3", "web", later(before))
	})
	t.Run("clocks that come back", func(t *testing.T) {
		f.lab("heal").want(t, 0)
		for _, host := range f.hosts {
			f.wantLeaf(t, host, "web", func(leaf agentapi.Cert) bool { return leaf.From.Before(time.Now()) })
		}
		f.wantConvened(t)
	})
	t.Run("a removed authority", f.testRemovedAuthority)
}

// clocks moves the clocks of all agents.
func (f *fleet) clocks(t *testing.T, by time.Duration) {
	t.Helper()
	for _, host := range f.hosts {
		f.lab("break", host, "--clock", fmt.Sprintf("+%s", by)).want(t, 0)
	}
}
