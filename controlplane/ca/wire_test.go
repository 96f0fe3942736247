package ca

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

func FuzzParseRequest(f *testing.F) {
	r := newRig(f)
	q, _ := r.ask("app1", "db1", "api")
	s := r.signed(q, r.hosts["app1"])
	f.Add(s.Body, s.Signature)
	f.Fuzz(func(t *testing.T, body, signature []byte) {
		if q, err := parseRequest(body); (err == nil) != (q.Schema != "") {
			t.Errorf("%+v, %v", q, err)
		}
		a := r.issuer["db1"].Issue(SignedRequest{body, signature})
		if a.Refusal == nil && !bytes.Equal(body, s.Body) {
			t.Errorf("issued for %q", body)
		}
		text, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseAnswer(text); err != nil {
			t.Errorf("its own answer %q: %v", text, err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	r := newRig(f)
	q, key := r.ask("app1", "db1", "api")
	f.Add(must(r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"])).Encode())(f))
	f.Add(must(Answer{Time: time.Now(), Refusal: refuse(CodeBusy, "busy")}.Encode())(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseAnswer(text)
		if err != nil {
			return
		}
		if (a.Refusal == nil) == (a.Chain == "") {
			t.Errorf("neither or both: %+v", a)
		}
		o, err := judge(key, "api", "db1", a.Chain, r.fleet.Roots, time.Now())
		if err == nil && o.leaf.Service != "api" {
			t.Errorf("taken as %s", o.leaf.Service)
		}
	})
}

func FuzzParseHeld(f *testing.F) {
	r := newRig(f)
	q, key := r.ask("app1", "db1", "api")
	a := r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"]))
	o := must(judge(key, "api", "db1", a.Chain, r.fleet.Roots, time.Now()))(f)
	h := &held{leaf: &o.leaf, domain: r.root.Domain, from: "db1"}
	f.Add(must(h.text())(f))
	f.Fuzz(func(t *testing.T, content []byte) {
		h, err := parseHeld(content, "api")
		if err != nil {
			return
		}
		again, err := h.text()
		if err != nil {
			t.Fatal(err)
		}
		if h2, err := parseHeld(again, "api"); err != nil || !h2.leaf.Chain[0].Equal(h.leaf.Chain[0]) || h2.from != h.from {
			t.Errorf("written again: %v", err)
		}
	})
}

func TestParseAnswerRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                "",
		"no JSON":              "hello",
		"nothing in it":        `{"schema":"nixmesh.certificate/1"}`,
		"both":                 `{"schema":"nixmesh.certificate/1","chain":"x","refusal":{"code":"busy"}}`,
		"another schema":       `{"schema":"nixmesh.certificate/9","chain":"x"}`,
		"more than one":        `{"schema":"nixmesh.certificate/1","chain":"x"}{}`,
		"an endless refusal":   `{"schema":"nixmesh.certificate/1","refusal":{"code":"busy","text":"` + strings.Repeat("x", 4096) + `"}}`,
		"a wait in the past":   `{"schema":"nixmesh.certificate/1","refusal":{"code":"busy","retry_ns":-1}}`,
		"larger than is taken": `{"schema":"nixmesh.certificate/1","chain":"` + strings.Repeat("x", maxAnswer) + `"}`,
	} {
		if _, err := ParseAnswer([]byte(text)); !errors.Is(err, ErrWire) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := must(Answer{Refusal: refuse(CodeForm, "%s", strings.Repeat("ö", maxText))}.Encode())(t)
	if _, err := ParseAnswer(long); err != nil {
		t.Errorf("a long refusal: %v", err)
	}
}

// An authority that lies, or somebody in its place, cannot make a keeper hold
// what is not its own.
func TestKeeperJudgesAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		other := newRig(t)
		q, _ := r.ask("app1", "db1", "web")
		foreignKey := must(r.issuer["db1"].Issue(r.signed(q, r.hosts["app1"])).Encode())(t)
		q, _ = other.ask("app1", "db1", "api")
		foreignFleet := must(other.issuer["db1"].Issue(other.signed(q, other.hosts["app1"])).Encode())(t)
		k := r.keeper("app1")
		r.bend = func(string, []byte) []byte { return nil } // from its first question on
		defer run(t, k)()
		for name, answer := range map[string][]byte{
			"nothing": nil, "another key": foreignKey, "another fleet": foreignFleet, "junk": []byte(`{"schema":"nixmesh.certificate/1","chain":"junk"}`),
			"a refusal without sense": []byte(`{"schema":"nixmesh.certificate/1","refusal":{"code":"?","text":"?","retry_ns":9000000000000000000}}`),
		} {
			r.mu.Lock()
			r.bend = func(string, []byte) []byte { return answer }
			r.mu.Unlock()
			time.Sleep(10 * time.Minute)
			if _, ok := k.Leaf("api"); ok {
				t.Errorf("%s: taken", name)
			}
			if s := k.Status().of("api"); s.Error == "" || s.Level != trust.LevelExpired {
				t.Errorf("%s: %+v", name, s)
			}
		}
		r.mu.Lock()
		r.bend = nil
		r.mu.Unlock()
		time.Sleep(2*time.Minute + time.Second)
		if err := r.serves(k, "api"); err != nil {
			t.Error(err)
		}
	})
}
