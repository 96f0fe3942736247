package agentapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// TrailerError is what follows the body of an answer that was begun and could not
// be ended: why.
const TrailerError = "Nixmesh-Error"

// maxDump bounds what an agent may tell of an Envoy, in bytes. It is passed on as
// it comes.
const maxDump = 1 << 30

// Dump is what the agent's Envoy is told, as JSON of Dump: one of DumpParts, or ""
// for all that the agent has. It is read as it comes, and is as the host gave it:
// its texts may steer a terminal. That it ends early is an error of Read.
func (c *Client) Dump(ctx context.Context, part string) (io.ReadCloser, error) {
	path := PathDump
	if part != "" {
		path += "?" + url.Values{"part": {part}}.Encode()
	}
	answer, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	d := &dump{ctx: ctx, answer: answer, in: bufio.NewReader(answer.Body), left: maxDump, most: maxDump}
	begin := []byte(`{"schema":"` + DumpSchema + `",`)
	if have, err := d.in.Peek(len(begin)); !bytes.Equal(have, begin) {
		answer.Body.Close()
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read the agent's answer: %w", cause(ctx, err))
		}
		return nil, fmt.Errorf("read the agent's answer: it is not %s", DumpSchema)
	}
	return d, nil
}

// dump is the body of an answer.
type dump struct {
	ctx        context.Context // of the request, for the reason of its end
	answer     *http.Response
	in         *bufio.Reader
	left, most int64 // bytes
}

// Read gives the next part.
func (d *dump) Read(b []byte) (int, error) {
	n, err := d.in.Read(b)
	if d.left -= int64(n); d.left < 0 {
		return 0, fmt.Errorf("read the agent's answer: it is larger than %d MiB", d.most>>20)
	}
	if errors.Is(err, io.EOF) {
		if text := d.answer.Trailer.Get(TrailerError); text != "" {
			return n, errors.New(oneLine(text))
		}
		return n, io.EOF
	}
	if err != nil {
		err = fmt.Errorf("read the agent's answer: %w", cause(d.ctx, err))
	}
	return n, err
}

// Close leaves the rest.
func (d *dump) Close() error { return d.answer.Body.Close() }
