package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// What a host says steers no terminal.
func TestForeignJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := printForeignJSON(&b, strings.NewReader("{\"a\":\"\x1b[2J\u009b2J\u202e\U000e0041ü\"\x1b}")); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"\\u001b[2J\\u009b2J\\u202e\\udb40\\udc41ü\"\\u001b\n}\n"; b.String() != want {
		t.Errorf("got %q, want %q", &b, want)
	}
}

// It is laid out as JSON is everywhere, however it comes.
func TestForeignJSONLayout(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/nixmesh.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{}`, `[]`, `7`, `""`, `[[],{},[{}]]`, `{"a":[1,-2.5e3,true,null],"b":{"c":{}},"d":"x\\\"]},{:"}`, "[ 1 ,\n\t2 ]", string(page),
	} {
		var got, want bytes.Buffer
		if err := printForeignJSON(&got, iotest.OneByteReader(strings.NewReader(text))); err != nil {
			t.Errorf("%.40s: %v", text, err)
		}
		if err := json.Indent(&want, bytes.TrimSpace([]byte(text)), "", "  "); err != nil {
			t.Fatal(err)
		}
		want.WriteByte('\n')
		if got.String() != want.String() {
			t.Errorf("got\n%.400s\nwant\n%.400s", &got, &want)
		}
	}
}

// What ends early, or is none, is printed as far as it goes, and is an error.
func TestForeignJSONThatIsNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, says string }{
		{"half", `{"a":`, "unexpected EOF"},
		{"half a text", `"a`, "unexpected EOF"},
		{"closed twice", `{}}`, "no JSON"},
		{"deep", strings.Repeat("[", maxNesting+1), "nested too deep"},
	} {
		if err := printForeignJSON(io.Discard, strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	broken := errors.New("the agent is gone")
	if err := printForeignJSON(io.Discard, io.MultiReader(strings.NewReader(`{"a":1`), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("an answer that breaks off: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	// Nobody reads: it ends at once, though the answer never does.
	if err := printForeignJSON(w, io.MultiReader(strings.NewReader("["), endless("1,"))); exitCode(err) != exitFailed || !strings.Contains(err.Error(), "print JSON") {
		t.Errorf("stdout is closed: %v", err)
	}
}

// endless repeats a text.
type endless string

func (e endless) Read(b []byte) (int, error) {
	n := 0
	for n+len(e) <= len(b) {
		n += copy(b[n:], e)
	}
	return n, nil
}
