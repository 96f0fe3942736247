package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// document is what the agent of a host acts on.
func (f *fleet) document(host string) *mesh.Document {
	f.t.Helper()
	r := f.ssh(host, "curl -sf --max-time 60 --unix-socket /run/nixmesh/api.sock http://agent"+agentapi.PathDocument).want(f.t, 0)
	d, err := mesh.ParseDocument([]byte(r.stdout))
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

// wantDocument waits until all agents act on one document, of a version, and
// gives it.
func (f *fleet) wantDocument(t *testing.T, version int64) *mesh.Document {
	t.Helper()
	f.wantConvened(t)
	d := f.document(f.hosts[0])
	if d.Version != version {
		t.Fatalf("version %d by %s is in force, want %d", d.Version, d.Operator, version)
	}
	return d
}

// put gives a document to the agent of a host, as root there.
func (f *fleet) put(host string, d *mesh.Document) agentapi.Applied {
	f.t.Helper()
	name := "var/document.json"
	if err := os.WriteFile(filepath.Join(f.host(host).Root, name), d.Canonical(), 0o644); err != nil {
		f.t.Fatal(err)
	}
	r := f.ssh(host, "curl -s --max-time 60 -X PUT --data-binary @/"+name+" --unix-socket /run/nixmesh/api.sock http://agent"+agentapi.PathDocument).want(f.t, 0)
	var a agentapi.Applied
	if err := json.Unmarshal([]byte(r.stdout), &a); err != nil {
		f.t.Fatalf("%v: %s", err, r)
	}
	return a
}

// continued is the document after another one, signed with a key in the name of
// an operator.
func continued(t *testing.T, key trust.SSHKey, operator string, after *mesh.Document) *mesh.Document {
	t.Helper()
	d := mesh.NextDocument(after, after.Config, operator)
	if err := d.Sign(func(namespace string, message []byte) (string, error) {
		return trust.Sign(key.Signer, namespace, message)
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

// timeout is the time that web gives an upstream, "" where it names none.
func timeout(d *mesh.Document, upstream string) string {
	e := d.Config.Edges["web"][upstream]
	if e == nil || e.Timeout == nil {
		return ""
	}
	return e.Timeout.String()
}

// terminal is one on which a program asks, and where it is answered.
func terminal(t *testing.T) (answer, line *os.File) {
	t.Helper()
	answer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Close() })
	n, err := unix.IoctlGetInt(int(answer.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(answer.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		line, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Close() })
	return answer, line
}

// TestMesh: the mesh configuration with deploys, by itself, at once, and back.
func TestMesh(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2", "h3")
	f.set("variable", "variable \"patience\" {\n  type    = string\n  default = \"2s\"\n}")
	f.service("api", "")
	f.service("cache", "")
	calls := func(lines ...string) { f.service("web", strings.Join(lines, "\n")) }
	const api = `upstream "api" { timeout = var.patience }`
	calls(api)
	bert, err := trust.GenerateSSHKey("bert")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range f.hosts {
		f.file("hosts/"+h+".nix", fmt.Sprintf("{ ... }: { system.stateVersion = \"26.05\"; services.nixmesh.operators.bert.sign = [ %q ]; }\n", bert.Authorized))
	}
	f.wantTaken(t, f.deploy()).says(t, "Mesh version 1: applied on ")
	first := f.wantDocument(t, 1)
	if first.Release != 1 || first.Operator != "lab" || timeout(first, "api") != "2s" {
		t.Errorf("release %d by %s, api %s", first.Release, first.Operator, timeout(first, "api"))
	}

	t.Run("apply", func(t *testing.T) {
		f.wantTaken(t, f.run("mesh", "apply", "-y", "--var", "patience=5s")).says(t, "~ edge  web -> api timeout  2s -> 5s   nixmesh.hcl:")
		if d := f.wantDocument(t, 2); timeout(d, "api") != "5s" || d.Parent != first.Hash() || d.Release != 2 {
			t.Errorf("api %s, release %d", timeout(d, "api"), d.Release)
		}
		f.run("mesh", "apply", "-y", "--var", "patience=5s").want(t, 0).says(t, "Nothing to do: the agents act on this configuration, version 2 by lab.")
		f.run("release", "list").want(t, 0).says(t, "mesh")
		f.run("status", "--var", "patience=5s").says(t, "release 2 live on 3/3 hosts")
		f.run("mesh", "apply", "--var", "patience=6s").want(t, 6).says(t, "Publish as release 3 (mesh only), signed by lab?")
	})
	t.Run("apply that needs a deploy", func(t *testing.T) {
		calls(api, `upstream "cache" {}`)
		f.run("mesh", "apply", "-y").want(t, 6).says(t, "this also changes facts of hosts", `h1, h2, h3  + upstream "cache" of web  nixmesh.hcl:`, "nixmesh --lab deploy --on h1,h2,h3")
		calls(api)
		f.wantDocument(t, 2)
	})
	t.Run("two at once", func(t *testing.T) {
		var asked []*process
		var answers []*os.File
		for _, value := range []string{"6s", "7s", "8s"} {
			answer, line := terminal(t)
			asked, answers = append(asked, f.startOn(line, "-C", f.dir, "--lab", "mesh", "apply", "--var", "patience="+value)), append(answers, answer)
		}
		for _, p := range asked { // all have looked at version 2
			until(t, "it asks", func() bool { return strings.Contains(p.stderr.String(), "signed by lab? [y/N]") })
		}
		say := func(answer *os.File) {
			if _, err := answer.WriteString("y\n"); err != nil {
				t.Fatal(err)
			}
		}
		say(answers[0])
		say(answers[1])
		var codes []int
		for _, p := range asked[:2] {
			r := p.wait()
			if r.code == 1 {
				r = f.wantTaken(t, r)
			}
			codes = append(codes, r.code)
			if r.code == 6 {
				r.says(t, "by lab", "nixmesh --lab mesh apply") // who was faster
				t.Logf("the slower one: %s", strings.TrimSpace(r.stderr))
			}
		}
		slices.Sort(codes)
		if !slices.Equal(codes, []int{0, 6}) {
			t.Errorf("exit codes %v", codes)
		}
		say(answers[2]) // of what is over
		asked[2].wait().want(t, 6).says(t, "release 3 by lab", "nixmesh --lab mesh apply")
		f.wantDocument(t, 3)
	})
	t.Run("no operator's key", func(t *testing.T) {
		stranger, err := trust.GenerateSSHKey("stranger")
		if err != nil {
			t.Fatal(err)
		}
		if a := f.put("h1", continued(t, stranger, "lab", f.document("h1"))); a.Result != agentapi.ApplyRefused || !strings.Contains(a.Reason, "none of the") {
			t.Errorf("%+v", a)
		}
		f.wantDocument(t, 3)
		if a := f.put("h1", continued(t, bert, "bert", f.document("h1"))); a.Result != agentapi.ApplyInForce {
			t.Errorf("an operator of the host's own facts: %+v", a)
		}
		f.wantDocument(t, 4)
	})
	t.Run("a part of the hosts", func(t *testing.T) {
		calls(`upstream "cache" {}`)
		f.run("plan", "--on", "h1").says(t, "- edge  web -> api ", "+ edge  web -> cache ", "2 hosts behind (h2, h3): 1 edge kept (web -> api)")
		f.deploy("--on", "h1").want(t, 0).says(t, "Until 2 hosts run this release (h2, h3): 1 edge kept (web -> api).")
		d := f.wantDocument(t, 5)
		if d.Config.Edges["web"]["api"] == nil || d.Config.Edges["web"]["cache"] == nil {
			t.Errorf("web calls %v", d.Config.Edges["web"])
		}
		f.run("status").says(t, "2 hosts behind: 1 edge kept (web -> api)")
		f.deploy("--on", "h2,h3").want(t, 0).says(t, "Mesh version 6: applied on ")
		d = f.wantDocument(t, 6)
		if d.Config.Edges["web"]["api"] != nil || d.Config.Edges["web"]["cache"] == nil {
			t.Errorf("web calls %v", d.Config.Edges["web"])
		}
	})
	t.Run("rollback", func(t *testing.T) {
		for _, h := range f.hosts {
			f.file("hosts/"+h+".nix", "{ ... }: { system.stateVersion = \"26.05\"; }\n")
		}
		calls(`upstream "cache" { timeout = "9s" }`)
		f.deploy().want(t, 0)
		if d := f.wantDocument(t, 7); timeout(d, "cache") != "9s" {
			t.Errorf("cache %s", timeout(d, "cache"))
		}
		f.wantTaken(t, f.run("rollback", "-y")).says(t, "signed again as version 8", "Mesh version 8: applied on ")
		d := f.wantDocument(t, 8)
		if timeout(d, "cache") != "" || d.Config.Edges["web"]["cache"] == nil {
			t.Errorf("cache %s", timeout(d, "cache"))
		}
	})
	t.Run("an operator who was removed", func(t *testing.T) {
		f.ssh("h1", "grep -c bert /etc/nixmesh/host.json").want(t, 0) // the rollback lists him again
		f.ssh("h1", "cat /var/lib/nixmesh/operators.revoked").want(t, 0).says(t, strings.Join(strings.Fields(bert.Authorized)[:2], " "))
		if a := f.put("h1", continued(t, bert, "bert", f.document("h1"))); a.Result != agentapi.ApplyRefused || !strings.Contains(a.Reason, "removed from the fleet") {
			t.Errorf("%+v", a)
		}
		f.wantDocument(t, 8)
	})
	t.Run("a host is away", func(t *testing.T) {
		f.lab("break", "h3", "--power", "--no-boot").want(t, 0)
		calls(`upstream "cache" { timeout = "4s" }`)
		r := f.run("mesh", "apply", "-y").says(t, "h3: not reached")
		if r.code != 1 || !late.MatchString(r.stdout+r.stderr) {
			r.want(t, 7).says(t, "on 2 of 3 agents")
		}
		var want *mesh.Document
		until(t, "h1 and h2 act on it, and their Envoys", func() bool {
			want = f.document("h1")
			acting := 0
			for _, h := range f.status(t, "h1").Hosts {
				if h.Applied && h.Envoy == agentapi.EnvoyActs {
					acting++
				}
			}
			return timeout(want, "cache") == "4s" && acting == 2
		})
		f.lab("heal").want(t, 0)
		f.wantConvened(t)
		if d := f.document("h3"); d.Hash() != want.Hash() {
			t.Errorf("h3 acts on version %d", d.Version)
		}
	})
}
