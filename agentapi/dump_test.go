package agentapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A dump is read as it comes, and what is not all of one is an error.
func TestDump(t *testing.T) {
	t.Parallel()
	const head = `{"schema":"nixmesh.dump/1","host":"app1"`
	chunked := func(body, trailer string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nTrailer: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n%s\r\n", TrailerError, len(body), body, trailer)
	}
	for _, c := range []struct{ name, answer, body, says string }{
		{"whole", chunked(head+"}", ""), head + "}", ""},
		{"of an older agent", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s}", len(head)+1, head), head + "}", ""},
		{"given up", chunked(head, TrailerError+": Envoy's dump has more than 512 MiB\x1b[2J\r\n"), head, "Envoy's dump has more than 512 MiB"},
		{"cut off", strings.TrimSuffix(chunked(head, ""), "0\r\n\r\n"), head, "read the agent's answer: unexpected EOF"},
		{"of another kind", chunked(`{"schema":"nixmesh.dump/2"}`, ""), "", "it is not nixmesh.dump/1"},
		{"nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "it is not nixmesh.dump/1"},
		{"refused", "HTTP/1.1 503 x\r\nContent-Length: 20\r\n\r\n" + `{"error":"no Envoy"}`, "", "no Envoy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := answering(t, func(conn net.Conn) { _, _ = io.WriteString(conn, c.answer) })
			body := ""
			dump, err := client.Dump(t.Context(), DumpEnvoy)
			if err == nil {
				defer dump.Close()
				var text []byte
				text, err = io.ReadAll(dump)
				body = string(text)
			}
			if body != c.body || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %q, %v; want %q, %q", body, err, c.body, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("it steers the terminal: %q", err)
			}
		})
	}
}

// An agent that never stops is cut off, and the error names the bound.
func TestEndlessDump(t *testing.T) {
	t.Parallel()
	d := &dump{ctx: t.Context(), answer: &http.Response{}, in: bufio.NewReader(zeros{}), left: 2 << 20, most: 2 << 20}
	if n, err := io.Copy(io.Discard, d); err == nil || !strings.Contains(err.Error(), "larger than 2 MiB") || n > 2<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
