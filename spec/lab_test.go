package spec

import (
	"slices"
	"testing"
)

// TestLabStandsForItself: what the fleet says of its operators is said of the
// lab's one, and no lab command goes over a real jump host.
func TestLabStandsForItself(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "services/db.hcl", `operator "tara" {
  ssh    = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95i tara"]
  access = ["db"]
}

host "far" {
  address = "10.9.9.9"
  ssh {
    port = 2222
    jump = "tara@bastion.example:22"
    key  = "~/.ssh/real"
  }
}

service "db" {
  on      = ["far"]
  package = "infra#web.server"
  exec    = "bin/db"
  listen "http" {}
  check { http = "/" }
  allow "operator/tara" { methods = ["GET"] }
  route "/admin/" {
    from    = ["operator/tara"]
    timeout = "5s"
  }
}
`)
	l := Load(dir, Options{Lab: true, LabOperator: &Operator{Name: "lab"}})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	f := l.Fleet
	if len(f.Operators) != 1 || f.Operators[0].Name != "lab" || !slices.Equal(f.Operators[0].Access, []string{"db"}) {
		t.Errorf("operators: %+v", f.Operators)
	}
	s := f.Services[0]
	if s.Allows[0].Caller != "operator/lab" || !slices.Equal(s.Routes[0].From, []string{"operator/lab"}) {
		t.Errorf("allow %q, from %q", s.Allows[0].Caller, s.Routes[0].From)
	}
	for _, h := range f.Hosts {
		if h.SSH.Jump != "" || h.SSH.Key != "" || h.Name == "far" && h.SSH.Port != 2222 {
			t.Errorf("host %s is reached by %+v", h.Name, h.SSH)
		}
	}
	if !slices.Contains(f.LabOverrides, "ssh: no jump, the lab's key") {
		t.Errorf("overrides: %q", f.LabOverrides)
	}
}
