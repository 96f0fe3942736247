package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A file is needed wherever something that names it runs, or is called from.
func TestAgeFiles(t *testing.T) {
	file := func(name string) *Secret { return &Secret{File: name} }
	f := &Fleet{
		Services: []*Service{
			{
				Name:      "api",
				Upstreams: []*Upstream{{Name: "stripe"}},
				Versions: []*Version{
					{Name: "v1", On: []string{"app1", "app2"}, Secrets: map[string]*Secret{"DB": file("db.age")}},
					{Name: "v2", On: []string{"app2"}, Secrets: map[string]*Secret{"DB": file("db2.age"), "KEY": {Path: "/run/key"}}},
				},
			},
			{Name: "worker", On: []string{"db1"}, Secrets: map[string]*Secret{"DB": file("db.age")}},
		},
		Gateways:  []*Gateway{{Name: "public", On: []string{"edge1"}, Key: "tls.age"}},
		Externals: []*External{{Name: "stripe", Key: "client.age"}, {Name: "mail", Via: []string{"edge1"}, Key: "client.age"}},
	}
	want := []AgeFile{
		{File: "client.age", Users: []string{`external "mail"`, `external "stripe"`}, Hosts: []string{"app1", "app2", "edge1"}},
		{File: "db.age", Users: []string{`service "api"`, `service "worker"`}, Hosts: []string{"app1", "app2", "db1"}},
		{File: "db2.age", Users: []string{`service "api"`}, Hosts: []string{"app2"}},
		{File: "tls.age", Users: []string{`gateway "public"`}, Hosts: []string{"edge1"}},
	}
	if diff := cmp.Diff(want, f.AgeFiles()); diff != "" {
		t.Errorf("age files (-want +got):\n%s", diff)
	}
}

// A fleet with a CA has two files more, which are nobody else's.
func TestAgeFilesOfTheCA(t *testing.T) {
	f := &Fleet{
		CA:    CA{Root: "SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE"},
		Hosts: []*Host{{Name: "app1"}, {Name: "db1"}},
		Services: []*Service{{Name: "api", On: []string{"app1"}, Secrets: map[string]*Secret{
			"DB": {File: "secrets/db.age"}, "KEY": {File: GossipFile}, "ROOT": {File: CARootFile},
		}}},
	}
	want := []AgeFile{
		{File: "secrets/ca-root.age", Users: []string{"CA"}, CA: true},
		{File: "secrets/db.age", Users: []string{`service "api"`}, Hosts: []string{"app1"}},
		{File: "secrets/gossip.age", Users: []string{"agents"}, Hosts: []string{"app1", "db1"}},
	}
	if diff := cmp.Diff(want, f.AgeFiles()); diff != "" {
		t.Errorf("age files (-want +got):\n%s", diff)
	}
}
