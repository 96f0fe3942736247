package controlplane

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// What is secret is left out wherever it stands and however it is written, and all
// else stays as it is.
func TestRedact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`{}`, `{}`},
		{"{\n \"a\": [1, true, \"x\"],\n \"b\": {}\n}", "{\n \"a\": [1, true, \"x\"],\n \"b\": {}\n}"},
		{`{"private_key": {"inline_string": "k{\"}", "more": [{"x": 1}]}, "name": "svc"}`, `{"private_key":"[redacted]", "name": "svc"}`},
		{`{"a":[{"password":"p\\\"w"},{"password":7},{"password":-1.5e3 ,"b":1},{"password":null}]}`,
			`{"a":[{"password":"[redacted]"},{"password":"[redacted]"},{"password":"[redacted]" ,"b":1},{"password":"[redacted]"}]}`},
		{`{"pass\u0077ord":"p","private_key":[[],[1]]}`, `{"pass\u0077ord":"[redacted]","private_key":"[redacted]"}`},
		{`{"a":"private_key","b":":","c":"password\":"}`, `{"a":"private_key","b":":","c":"password\":"}`},
		{`{"` + strings.Repeat("x", 2*maxField) + `":1}`, `{"` + strings.Repeat("x", 2*maxField) + `":1}`},
	} {
		var got bytes.Buffer
		if err := redact(&got, iotest.OneByteReader(strings.NewReader(c.in)), 1<<20); err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
		if got.String() != c.want || !json.Valid(got.Bytes()) {
			t.Errorf("%s\n got %s\nwant %s", c.in, &got, c.want)
		}
	}
}

// What ends early, is no JSON, or is too much, is an error that says so.
func TestRedactRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, says string }{
		{``, "unexpected EOF"},
		{`{"a":1`, "unexpected EOF"},
		{`{"a`, "unexpected EOF"},
		{`{"password":"x`, "unexpected EOF"},
		{`{"password":1`, "unexpected EOF"},
		{`{"password":,`, "no JSON"},
		{`{"password":}`, "no JSON"},
		{`{}}`, "no JSON"},
		{`[` + strings.Repeat("1,", 1<<20), "it has more than 1 MiB"},
	} {
		if err := redact(io.Discard, strings.NewReader(c.in), 1<<20); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40s: %v, want %q", c.in, err, c.says)
		}
	}
}

// A dump of any size takes the same memory.
func TestRedactHoldsNothing(t *testing.T) {
	cluster := fmt.Sprintf(`{"name":"u:web:api","private_key":{"inline_bytes":"%s"},"hosts":[%s1]},`, strings.Repeat("k", 4096), strings.Repeat(`"10.0.0.1",`, 1000))
	readers := []io.Reader{strings.NewReader("[")}
	size := 1
	for ; size < 64<<20; size += len(cluster) {
		readers = append(readers, strings.NewReader(cluster))
	}
	in := io.MultiReader(append(readers, strings.NewReader("1]"))...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := redact(io.Discard, in, maxDump)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("a dump of %d MiB took %d KiB", size>>20, took>>10)
	}
}
