package api

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// dumper is a Source whose dump is text, and then fails.
type dumper struct {
	agent
	text string
	err  error
}

func (d *dumper) Dump(_ context.Context, _ string, w io.Writer) error {
	if _, err := io.WriteString(w, d.text); err != nil {
		return err
	}
	return d.err
}

// What fails before anything went out is an answer of its own; later it stands after
// what did, and a client never takes a part for the whole.
func TestStream(t *testing.T) {
	const head = `{"schema":"nixmesh.dump/1","envoy":"`
	long := head + strings.Repeat("x", 4*atOnce)
	broken := errors.New("Envoy does not\nanswer any more")
	for _, c := range []struct {
		name, text string
		err        error
		body       string
		says       string
	}{
		{"all", long + `"}`, nil, long + `"}`, ""},
		{"nothing", "", errors.New("no Envoy"), "", "no Envoy"},
		{"little", head, broken, "", "Envoy does not answer any more"},
		{"much", long, broken, "", "Envoy does not answer any more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, socket := serve(t, &dumper{text: c.text, err: c.err}, nil)
			dump, err := client(t, socket).Dump(t.Context(), agentapi.DumpEnvoy)
			body := ""
			if err == nil {
				defer dump.Close()
				var text []byte
				text, err = io.ReadAll(dump)
				body = string(text)
			}
			if (err == nil) != (c.says == "") || err != nil && err.Error() != c.says {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if err == nil && body != c.body || c.name == "little" && body != "" || !strings.HasPrefix(c.text, body) {
				t.Errorf("%d bytes came of %d", len(body), len(c.text))
			}
		})
	}
}
