package rollback

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// testKeys are what the operator of a seed signs with.
func testKeys(seed byte) (nix, sign string) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	public := base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	return fmt.Sprintf("k%d:%s", seed, public), fmt.Sprintf("ssh-ed25519 AAAA%d", seed)
}

// listed makes a toplevel list the operators of some seeds.
func (s *simHost) listed(toplevel string, seeds ...byte) {
	facts := hostfacts.Facts{Schema: hostfacts.Schema, Fleet: "lab", Host: "h1", Nixmesh: hostfacts.Nixmesh{Protocol: 1, Binary: simHelper}}
	var deployers []string
	for _, seed := range seeds {
		nix, sign := testKeys(seed)
		deployers = append(deployers, nix)
		facts.Operators = append(facts.Operators, hostfacts.Operator{Name: fmt.Sprintf("o%d", seed), Sign: []string{sign + " comment"}, NixKey: nix})
	}
	b, err := json.Marshal(facts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.disk.put(toplevel+hostfacts.Path, string(b))
	s.disk.put(toplevel+hostfacts.DeployersPath, strings.Join(deployers, "\n")+"\n")
}

// bring deploys a toplevel as a release of a kind, signed by the operator of
// seed, and gives the refusal of the verb that refused.
func (s *simHost) bring(number int, kind, toplevel string, seed byte) Refusal {
	s.t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	body := fmt.Appendf(nil, `{"number":%d,"kind":%q}`, number, kind)
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	s.disk.put(recordFile(number, hash, ".json"), string(body))
	run := fmt.Sprintf("r%d-a", number)
	lease := LeaseRequest{Run: run, Holder: "o"}
	root := RootRequest{Release: number, ReleaseHash: hash, New: toplevel, Signatures: []string{
		fmt.Sprintf("k%d:%s", seed, base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte("1;"+toplevel+";sha256:h;1;"))))}}
	for _, v := range []struct {
		req  any
		args []string
	}{{lease, []string{"lease", "take", "run"}}, {root, []string{"root", run}}, {nil, []string{"activate", run}}, {nil, nil}, {nil, []string{"commit", run}}} {
		if v.args == nil {
			for len(s.queue) > 0 {
				unit := s.queue[0]
				s.queue = s.queue[1:]
				s.runUnit(unit)
			}
			s.verb(lease, "lease", "renew", "run")
			continue
		}
		if s.verb(v.req, v.args...) != 0 {
			var r Refusal
			if err := json.Unmarshal(s.out.Bytes(), &r); err != nil {
				s.t.Fatal(err)
			}
			s.verb(lease, "lease", "drop", "run")
			return r
		}
	}
	s.settle()
	if j, err := s.helper().journals.of(run); err != nil || j.Phase != PhaseCommitted {
		s.t.Fatalf("release %d did not commit: %+v %v", number, j, err)
	}
	s.verb(lease, "lease", "drop", "run")
	return Refusal{}
}

func (s *simHost) removed() []string {
	s.t.Helper()
	keys, err := s.helper().revoked()
	if err != nil {
		s.t.Fatal(err)
	}
	return keys
}

func keysOfSeeds(seeds ...byte) []string {
	var keys []string
	for _, seed := range seeds {
		nix, sign := testKeys(seed)
		keys = append(keys, hostfacts.NixKey(nix), sign)
	}
	slices.Sort(keys)
	return keys
}

// An operator whom a release removed stays out: after a rollback to a system
// that lists them, and until a release that goes forward does.
func TestRemovedOperators(t *testing.T) {
	t.Parallel()
	s := newSimHost(t)
	s.listed(simOld, 7, 8)
	s.listed(simNew, 7, 9)
	want := func(when string, keys []string) {
		t.Helper()
		if got := s.removed(); !slices.Equal(got, keys) {
			t.Errorf("%s: removed are %q, want %q", when, got, keys)
		}
	}
	want("at first", nil)
	if r := s.bring(2, "system", simNew, 8); r.Error != "" {
		t.Fatalf("an operator may remove themselves: %+v", r)
	}
	want("8 was removed", keysOfSeeds(8))
	if r := s.bring(3, "rollback", simOld, 8); r.Code != CodeSignature {
		t.Errorf("8 deploys again: %+v", r)
	}
	if r := s.bring(4, "rollback", simOld, 7); r.Error != "" {
		t.Fatalf("7 goes back: %+v", r)
	}
	want("a rollback brings nobody back, and removes whom it does not list", keysOfSeeds(8, 9))
	if r := s.bring(5, "system", simNew, 8); r.Code != CodeSignature {
		t.Errorf("8 is listed again, and refused: %+v", r)
	}
	allowed, err := s.helper().allowed(&hostfacts.Facts{Operators: []hostfacts.Operator{{Sign: []string{"ssh-ed25519 AAAA8 x", "ssh-ed25519 AAAA7 y"}}}})
	if err != nil || !slices.Equal(allowed, []string{"ssh-ed25519 AAAA7 y"}) {
		t.Errorf("records are taken from %q, %v", allowed, err)
	}
	if r := s.bring(6, "system", simNew, 7); r.Error != "" {
		t.Fatalf("7 goes forward: %+v", r)
	}
	want("a release that lists 9 takes them back", keysOfSeeds(8))
	// A run that brings a host of the failed release 7 back is of release 6.
	s.listed(simOld, 7, 8, 9)
	s.disk.put(recordFile(8, strings.Repeat("c", 64), ".json"), `{"number":8,"kind":"system"}`)
	if r := s.bring(7, "system", simOld, 7); r.Error != "" {
		t.Fatalf("on_fail: %+v", r)
	}
	want("the newest release decides, and this is none", keysOfSeeds(8))
}

// What went wrong after the commit is made up by the next verb.
func TestRemovedOperatorsLater(t *testing.T) {
	t.Parallel()
	s := newSimHost(t)
	s.listed(simOld, 7, 8)
	s.listed(simNew, 7)
	if r := s.bring(2, "system", simNew, 7); r.Error != "" {
		t.Fatal(r)
	}
	if err := s.disk.Remove(revokedFile); err != nil {
		t.Fatal(err)
	}
	s.verb(nil, "status")
	if got := s.removed(); !slices.Equal(got, keysOfSeeds(8)) {
		t.Errorf("removed are %q", got)
	}
}

// A host is never brought to where nobody may deploy, and an unreadable list
// trusts nobody.
func TestNobodyLeft(t *testing.T) {
	t.Parallel()
	s := newSimHost(t)
	s.listed(simOld, 8)
	s.listed(simNew, 7, 8)
	if r := s.bring(2, "system", simNew, 8); r.Error != "" {
		t.Fatal(r)
	}
	s.disk.put(revokedFile, string(hostfacts.FormatRevoked(keysOfSeeds(8))))
	if r := s.bring(3, "rollback", simOld, 7); r.Code != CodeGuard || !strings.Contains(r.Error, "k8") {
		t.Errorf("back to 8 only: %+v", r)
	}
	if _, err := s.helper().deployers(simNew); err != nil {
		t.Error(err)
	}
	h := s.helper()
	h.Files = unreadable{h.Files}
	if _, err := h.deployers(simNew); err == nil {
		t.Error("a list that cannot be read removes nobody")
	}
}

// unreadable cannot read the list of removed operators.
type unreadable struct{ FileSystem }

func (u unreadable) ReadFile(name string) ([]byte, error) {
	if name == revokedFile {
		return nil, errors.New("input/output error")
	}
	return u.FileSystem.ReadFile(name)
}

// Releases of the mesh alone push out no system that a rollback may want.
func TestPruneKeepsSystems(t *testing.T) {
	t.Parallel()
	s := newSimHost(t)
	hash := strings.Repeat("d", 64)
	for number := 1; number <= 20; number++ {
		kind := "mesh"
		if number%7 == 1 { // 1, 8 and 15
			kind = "system"
			s.disk.names[releaseRoot(number)] = &simFile{link: simNew}
		}
		s.disk.put(recordFile(number, hash, ".json"), fmt.Sprintf(`{"number":%d,"kind":%q}`, number, kind))
	}
	kept, err := s.helper().prune(2)
	if want := []int{20, 19, 15, 8}; err != nil || !slices.Equal(kept, want) {
		t.Errorf("kept are %v %v, want %v", kept, err, want)
	}
	for number, want := range map[int]bool{1: false, 8: true, 15: true} {
		if got := exists(s.disk, releaseRoot(number)) || s.disk.names[releaseRoot(number)] != nil; got != want {
			t.Errorf("root of release %d is there: %t, want %t", number, got, want)
		}
	}
}
