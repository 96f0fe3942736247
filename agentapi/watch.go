package agentapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
)

// ErrWatchEnded says that the agent ended a watch: it stops, or was cut off.
var ErrWatchEnded = errors.New("the agent ended the watch")

// Watch gives changes as they come. It ends with an error, once, or without
// one when ctx ends.
func (c *Client) Watch(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := c.watch(ctx, func(e Event) bool { return yield(e, nil) })
		if err != nil && ctx.Err() == nil {
			yield(Event{}, err)
		}
	}
}

// watch is nil where each said that it had enough.
func (c *Client) watch(ctx context.Context, each func(Event) bool) error {
	answer, err := c.open(ctx, http.MethodGet, PathWatch, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 { // a sign of life
			continue
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read the agent's watch: %w", err)
		}
		clean(&e)
		if !each(e) {
			return nil
		}
	}
	switch err := lines.Err(); {
	case err == nil, errors.Is(err, io.ErrUnexpectedEOF):
		return ErrWatchEnded
	default:
		return fmt.Errorf("read the agent's watch: %w", err)
	}
}
