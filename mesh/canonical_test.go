package mesh_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/mesh"
)

// The vectors of RFC 8785: appendix B for numbers, section 3.2.3 for names, and
// the escapes of 3.2.2.2.
func TestCanonicalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`[0, -0, 0.000001, 1e-7, 4.50, 2e-3, 1E30, 9007199254740992, 333333333.33333329, 0.000000000000000000000000001]`,
			`[0,0,0.000001,1e-7,4.5,0.002,1e+30,9007199254740992,333333333.3333333,1e-27]`},
		{`{"€":1, "\r":2, "\ufb33":3, "1":4, "\ud83d\ude00":5, "\u0080":6, "ö":7}`,
			"{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"\U0001f600\":5,\"\ufb33\":3}"},
		{`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\u2028<>&\u007f"`, `"€$\u000f\nA'B\"\\\\\"/` + "\u2028<>&\u007f" + `"`},
		{`{"a": {"c": [true, false, null], "b": {}}, "a": 1}`, `{"a":1}`},
	} {
		got, err := mesh.Canonicalize([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s\ngot  %s %v\nwant %s", c.in, got, err, c.want)
		}
	}
}

func TestParseReadsWhatCanonicalWrites(t *testing.T) {
	t.Parallel()
	want := sample()
	text := want.Canonical()
	got, err := mesh.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if again := got.Canonical(); !bytes.Equal(again, text) || got.Hash() != mesh.HashOf(text) {
		t.Errorf("written %s\nagain   %s", text, again)
	}
}

// Every member that the types can hold stands in the sample, so that the tests
// on it speak for the whole document.
func TestSampleHoldsEveryMember(t *testing.T) {
	t.Parallel()
	text := string(sample().Canonical())
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name != "" && name != "-" && !strings.Contains(text, `"`+name+`":`) {
					t.Errorf("%s.%s is not in the sample", typ, f.Name)
				}
				if f.Type != reflect.TypeFor[mesh.Unknown]() {
					walk(f.Type)
				}
			}
		}
	}
	walk(reflect.TypeFor[mesh.Config]())
}

func TestSetsHaveNoOrder(t *testing.T) {
	t.Parallel()
	want := sample().Hash()
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		c := sample()
		shuffleSets(random, reflect.ValueOf(c))
		if got := c.Hash(); got != want {
			t.Fatalf("%s after a shuffle of sets, %s before", got, want)
		}
	}
}

// shuffleSets changes the order of every Names and repeats an entry of it.
func shuffleSets(random *rand.Rand, v reflect.Value) {
	if names, ok := v.Interface().(mesh.Names); ok && len(names) > 0 {
		names = append(slices.Clone(names), names[0])
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		v.Set(reflect.ValueOf(names))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			shuffleSets(random, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Type != reflect.TypeFor[mesh.Unknown]() {
				shuffleSets(random, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			shuffleSets(random, v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if it.Value().Kind() == reflect.Pointer || it.Value().Kind() == reflect.Map {
				shuffleSets(random, it.Value())
			}
		}
	}
}

// A newer nixmesh may add members anywhere but among names.
func TestUnknownMembersAreKept(t *testing.T) {
	t.Parallel()
	var tree any
	if err := json.Unmarshal(sample().Canonical(), &tree); err != nil {
		t.Fatal(err)
	}
	named := []string{"hosts", "services", "gateways", "externals", "operators", "edges", "defaults", "split", "claims", "set", "tls", "auths"}
	added := 0
	var add func(parent, name string, tree any)
	add = func(parent, name string, tree any) {
		switch v := tree.(type) {
		case []any:
			for _, item := range v {
				add(name, "", item)
			}
		case map[string]any:
			for name, item := range v {
				add(parent, name, item)
			}
			if !slices.Contains(named, name) && !slices.Contains([]string{"edges"}, parent) {
				added++
				v["a_new"] = map[string]any{"\U0001f600": 1e21, "b": []any{nil, -0.5, "x\u2028"}}
				v["zz_new"] = "y"
			}
		}
	}
	// Edges are two levels of names.
	edges := tree.(map[string]any)["edges"].(map[string]any)
	delete(tree.(map[string]any), "edges")
	add("", "", tree)
	for _, of := range edges {
		for _, edge := range of.(map[string]any) {
			add("", "", edge)
		}
	}
	tree.(map[string]any)["edges"] = edges
	loose, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	text, err := mesh.Canonicalize(loose)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mesh.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Canonical(); !bytes.Equal(got, text) {
		t.Errorf("%d objects\ngot  %s\nwant %s", added, got, text)
	}
	if got := strings.Join(c.Unknown.Members(), " "); got != "a_new zz_new" || added < 60 {
		t.Errorf("%q unknown, %d objects with more", got, added)
	}
}
