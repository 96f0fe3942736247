package mesh_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
)

// children are two documents after one parent, the winner first.
func children(t *testing.T, parent *mesh.Document) (winner, loser *mesh.Document) {
	t.Helper()
	a, b := signed(t, parent, sample(), "anna", "a1"), signed(t, parent, sample(), "bert", "b1")
	if a.Hash() < b.Hash() {
		return a, b
	}
	return b, a
}

func TestSteps(t *testing.T) {
	t.Parallel()
	first := signed(t, nil, sample(), "anna", "a1")
	won, lost := children(t, first)
	onWon := signed(t, won, sample(), "anna", "a1")
	onLost := signed(t, lost, sample(), "anna", "a1")
	later := signed(t, onWon, sample(), "anna", "a1")
	for _, c := range []struct {
		name            string
		have, candidate *mesh.Document
		want            mesh.Step
		publish         bool
	}{
		{"nothing yet", nil, first, mesh.StepFirst, true},
		{"nothing yet, and the fleet is far", nil, later, mesh.StepFirst, true},
		{"the child", first, won, mesh.StepNext, true},
		{"a grandchild", first, onWon, mesh.StepAhead, true},
		{"the same", won, won, mesh.StepSame, true},
		{"two children, the loser first", lost, won, mesh.StepFork, false},
		{"two children, the winner first", won, lost, mesh.StepLost, false},
		{"the child of the child that lost", won, onLost, mesh.StepFork, false},
		{"the child that won, where the other one has a child", onLost, won, mesh.StepOld, false},
		{"both have children: the fork's winner stays", onWon, onLost, mesh.StepLost, false},
		{"both have children: the fork's winner comes", onLost, onWon, mesh.StepFork, false},
		{"an old one again", later, first, mesh.StepOld, false},
	} {
		have := mesh.Link{}
		if c.have != nil {
			have = c.have.Link()
		}
		got, err := signers().Accept("shop", have, c.candidate)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q %v, want %q", c.name, got, err, c.want)
		}
		if wants := have.Wants(c.candidate.Version, c.candidate.Hash()); got.Takes() && !wants || got == mesh.StepSame && wants || got == mesh.StepOld && wants {
			t.Errorf("%s: worth asking for: %v", c.name, wants)
		}
		err = have.Publish(c.candidate.Link())
		var fork *mesh.ForkError
		if c.publish != (err == nil) || err != nil && (!errors.As(err, &fork) || fork.Live != have || !strings.Contains(err.Error(), "by "+c.have.Operator)) {
			t.Errorf("%s: publishing gives %v", c.name, err)
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	t.Parallel()
	invalid := signed(t, nil, sample(), "anna", "a1")
	invalid.Config.Hosts["app1"].Address = "app1"
	invalid.Signature, _ = signs("a1")(mesh.Namespace, invalid.Signed())
	for _, c := range []struct {
		name, fleet string
		document    *mesh.Document
		want        string
	}{
		{"another fleet's", "shoe", signed(t, nil, sample(), "anna", "a1"), `it is of the fleet "shop", this is "shoe"`},
		{"not valid", "shop", invalid, "config.hosts.app1.address"},
		{"a removed operator's", "shop", signed(t, nil, sample(), "carl", "c1"), "the key was removed from the fleet"},
		{"an unknown operator's", "shop", signed(t, nil, sample(), "emil", "e1"), "forged"},
	} {
		step, err := signers().Accept(c.fleet, mesh.Link{}, c.document)
		if err == nil || step.Takes() || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "refuse mesh document 1 by "+c.document.Operator) {
			t.Errorf("%s: got %q %v, want %s", c.name, step, err, c.want)
		}
	}
}

// tree makes documents of one fleet, each of which follows an earlier one or
// none; some are of operators whom nobody believes.
func tree(t *rapid.T, tb testing.TB) []*mesh.Document {
	config := &mesh.Config{Schema: mesh.Schema, Fleet: "shop"}
	*config = *sample()
	config.Hosts, config.Services, config.Gateways, config.Externals, config.Operators, config.Edges = nil, nil, nil, nil, nil, nil
	config.CA.Authorities = nil
	var all []*mesh.Document
	for range rapid.IntRange(1, 12).Draw(t, "documents") {
		var parent *mesh.Document
		if i := rapid.IntRange(-1, len(all)-1).Draw(t, "parent"); i >= 0 {
			parent = all[i]
		}
		who := rapid.SampledFrom([]string{"anna a1", "bert b1", "anna a2", "carl c1", "emil x1"}).Draw(t, "operator")
		operator, key, _ := strings.Cut(who, " ")
		d := mesh.NextDocument(parent, config, operator)
		d.Release = int64(len(all)) // tells documents with one parent and signer apart
		if err := d.Sign(signs(key)); err != nil {
			tb.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// Documents come in any order, twice and not at all. Once agents have talked to
// each other, all have the same one: the greatest that anybody got. On the way
// no agent ever goes back to an earlier version.
func TestAgentsConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		documents := tree(rt, t)
		agents := make([]*mesh.Document, rapid.IntRange(1, 5).Draw(rt, "agents"))
		judge := signers()
		link := func(d *mesh.Document) mesh.Link {
			if d == nil {
				return mesh.Link{}
			}
			return d.Link()
		}
		give := func(i int, d *mesh.Document) {
			have := link(agents[i])
			step, err := judge.Accept("shop", have, d)
			if (err != nil) != (judge.Check(d) != nil) {
				rt.Fatalf("got %v", err)
			}
			if step.Takes() {
				if d.Version < have.Version {
					rt.Fatalf("from version %d back to %d", have.Version, d.Version)
				}
				agents[i] = d
			}
		}
		var best *mesh.Document
		for i := range agents {
			got := rapid.SliceOfN(rapid.IntRange(0, len(documents)-1), 0, 2*len(documents)).Draw(rt, "arrivals")
			for _, n := range got {
				give(i, documents[n])
				if d := documents[n]; judge.Check(d) == nil && d.Link().Compare(link(best)) > 0 {
					best = d
				}
			}
		}
		for range agents { // each round, everybody tells everybody
			for i := range agents {
				for k := range agents {
					if d := agents[k]; d != nil && link(agents[i]).Wants(d.Version, d.Hash()) {
						give(i, d)
					}
				}
			}
		}
		for i := range agents {
			if link(agents[i]) != link(best) {
				rt.Fatalf("agent %d has %+v, want %+v", i, link(agents[i]), link(best))
			}
		}
	})
}

func TestTheOrderIsTotal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		link := rapid.Custom(func(t *rapid.T) mesh.Link {
			text := rapid.SampledFrom([]string{"a", "b", "c"})
			return mesh.Link{Version: rapid.Int64Range(1, 3).Draw(t, "version"), Parent: text.Draw(t, "parent"), Hash: text.Draw(t, "hash")}
		})
		links := rapid.SliceOfN(link, 3, 3).Draw(rt, "links")
		slices.SortFunc(links, mesh.Link.Compare)
		if links[0].Compare(links[2]) > 0 || links[0].Compare(links[1]) != -links[1].Compare(links[0]) {
			rt.Fatalf("%v", links)
		}
	})
}
