package sync

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

func newByteReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

// pair is two hosts of which the second one calls the first.
func pair(t *testing.T, handlers map[string]Handler, run func(t *testing.T, f *fleet, a, b *node)) {
	t.Helper()
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001", func(o *Options) { o.Handlers = handlers })
		b := f.add("h002")
		f.eventually(10*time.Second, f.same)
		f.eventually(10*time.Second, f.apart)
		run(t, f, a, b)
	})
}

func TestCall(t *testing.T) {
	handlers := map[string]Handler{
		"echo": func(_ context.Context, from string, body []byte) ([]byte, error) {
			return append([]byte(from+" "), body...), nil
		},
		"ca/refuse": func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("not on this host") },
		"large":     func(context.Context, string, []byte) ([]byte, error) { return make([]byte, MaxAnswer), nil },
		"too-large": func(context.Context, string, []byte) ([]byte, error) { return make([]byte, MaxAnswer+1), nil },
	}
	pair(t, handlers, func(t *testing.T, _ *fleet, a, b *node) {
		got, err := b.Call(t.Context(), "h001", "echo", []byte("hello"))
		if err != nil || string(got) != "h002 hello" {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := b.Call(t.Context(), "h001", "echo", make([]byte, MaxBody)); err != nil || len(got) != MaxBody+5 {
			t.Errorf("the largest body: %d, %v", len(got), err)
		}
		if got, err := b.Call(t.Context(), "h001", "large", nil); err != nil || len(got) != MaxAnswer {
			t.Errorf("the largest answer: %d, %v", len(got), err)
		}
		for method, want := range map[string]CallError{
			"ca/refuse": {Host: "h001", Refused: true, Text: "not on this host"},
			"nothing":   {Host: "h001", Refused: true, Text: `there is no method "nothing"`},
			"too-large": {Host: "h001"},
			"../hello":  {Host: "h001"},
		} {
			_, err := b.Call(t.Context(), "h001", method, nil)
			var got *CallError
			if !errors.As(err, &got) || got.Refused != want.Refused || want.Refused && got.Text != want.Text {
				t.Errorf("%s: %v", method, err)
			}
		}
		if _, err := b.Call(t.Context(), "h001", "echo", make([]byte, MaxBody+1)); err == nil {
			t.Error("sent more than is taken")
		}
		if _, err := b.Call(t.Context(), "h009", "echo", nil); err == nil {
			t.Error("called a host that is none")
		}
	})
}

// TestCallDeadline: a caller that gives up is not waited for, and the handler
// learns it.
func TestCallDeadline(t *testing.T) {
	var ended atomic.Int32
	handlers := map[string]Handler{"wait": func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		<-ctx.Done()
		ended.Add(1)
		return nil, context.Cause(ctx)
	}}
	pair(t, handlers, func(t *testing.T, f *fleet, a, b *node) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		_, err := b.Call(ctx, "h001", "wait", nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != time.Second {
			t.Errorf("%v after %v", err, time.Since(started))
		}
		f.eventually(time.Second, func() string {
			if ended.Load() == 0 {
				return "the handler runs on"
			}
			return ""
		})
		started = time.Now()
		if _, err := b.Call(t.Context(), "h001", "wait", nil); err == nil || time.Since(started) > CallTimeout+time.Second {
			t.Errorf("without a deadline: %v after %v", err, time.Since(started))
		}
		// Stop does not wait for handlers that are under way on either side.
		go b.Call(t.Context(), "h001", "wait", nil)
		time.Sleep(time.Second)
		started = time.Now()
		f.stop("h001")
		if took := time.Since(started); took > 2*farewell {
			t.Errorf("stopping took %v", took)
		}
	})
}

// TestCallsAreBounded: a host has so many calls answered at once, and the others
// wait.
func TestCallsAreBounded(t *testing.T) {
	var now, most atomic.Int32
	handlers := map[string]Handler{"work": func(context.Context, string, []byte) ([]byte, error) {
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(time.Second)
		now.Add(-1)
		return nil, nil
	}}
	pair(t, handlers, func(t *testing.T, _ *fleet, a, b *node) {
		failed := make(chan error)
		for range 3 * MaxCalls {
			go func() {
				_, err := b.Call(t.Context(), "h001", "work", nil)
				failed <- err
			}()
		}
		for range 3 * MaxCalls {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != MaxCalls {
			t.Errorf("%d at once, want %d", most.Load(), MaxCalls)
		}
		// A host that does not hold to it is told so.
		l := b.kept("h001")
		for range 2 * MaxCalls {
			go func() {
				status, _, err := l.post(t.Context(), pathCall+"work", nil, MaxAnswer)
				if err == nil && status != http.StatusOK && status != http.StatusTooManyRequests {
					t.Errorf("status %d", status)
				}
				failed <- err
			}()
		}
		for range 2 * MaxCalls {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != MaxCalls {
			t.Errorf("%d at once, want %d", most.Load(), MaxCalls)
		}
	})
}

// TestPanicsAreSurvived: what panics over a peer's bytes is told as an error
// without its words.
func TestPanicsAreSurvived(t *testing.T) {
	var tried atomic.Int32
	handlers := map[string]Handler{"boom": func(_ context.Context, _ string, body []byte) ([]byte, error) {
		tried.Add(1)
		if string(body) == "bad" {
			panic("the secret is 42")
		}
		return body, nil
	}}
	inBubble(t, 2, func(t *testing.T, f *fleet) {
		a := f.add("h001", func(o *Options) { o.Handlers = handlers })
		b := f.add("h002")
		f.eventually(10*time.Second, f.same)
		f.eventually(10*time.Second, f.apart)
		for range 3 {
			_, err := b.Call(t.Context(), "h001", "boom", []byte("bad"))
			var failed *CallError
			if !errors.As(err, &failed) || failed.Refused || strings.Contains(err.Error(), "42") {
				t.Errorf("%v", err)
			}
		}
		if got, err := b.Call(t.Context(), "h001", "boom", []byte("good")); err != nil || string(got) != "good" {
			t.Errorf("%q, %v", got, err)
		}
		if tried.Load() != 4 || a.Stats().Panics != 3 {
			t.Errorf("tried %d times, %d panics", tried.Load(), a.Stats().Panics)
		}
		link := b.kept("h001")
		a.onEachMerge(func(string) { panic("over a delta") })
		b.say("web", 1)
		time.Sleep(100 * time.Millisecond)
		if a.Stats().Panics < 4 {
			t.Error("nothing panicked")
		}
		a.onEachMerge(nil)
		b.say("web", 2)
		f.eventually(10*time.Second, f.heard("h002", "web", 2))
		if b.kept("h001") != link {
			t.Error("the connection was lost over it")
		}
	})
}

// TestBadRequests: what no agent sends is refused and counted, and harms nobody.
func TestBadRequests(t *testing.T) {
	pair(t, nil, func(t *testing.T, f *fleet, a, b *node) {
		l := b.kept("h001")
		digest := must(b.SealDigest(b.Digest(time.Now())))(t)
		foreign := must(a.SealDigest(a.Digest(time.Now())))(t)
		delta := (&catalog.Delta{}).Encode()
		hold := hello{catalog.Protocols{Min: 1, Max: 1}, 1}.encode()
		for name, test := range map[string]struct {
			path string
			body []byte
			want int
		}{
			"hello again":         {pathHello, hold, http.StatusBadRequest},
			"huge hash":           {pathCompare, make([]byte, 17), http.StatusBadRequest},
			"huge trade":          {pathTrade, make([]byte, maxTrade+1), http.StatusBadRequest},
			"no trade":            {pathTrade, nil, http.StatusBadRequest},
			"no digest":           {pathTrade, trade{delta: delta}.encode(), http.StatusBadRequest},
			"no delta":            {pathTrade, trade{digest: digest}.encode(), http.StatusBadRequest},
			"digest of another":   {pathTrade, trade{digest: foreign, delta: delta}.encode(), http.StatusBadRequest},
			"digest changed":      {pathTrade, trade{digest: append(bytes.Clone(digest), 0), delta: delta}.encode(), http.StatusBadRequest},
			"a good trade":        {pathTrade, trade{digest: digest, delta: delta}.encode(), http.StatusOK},
			"huge call":           {pathCall + "echo", make([]byte, MaxBody+1), http.StatusNotFound},
			"nothing there":       {"/metrics", nil, http.StatusNotFound},
			"a path with a trick": {"/call/../hello", nil, http.StatusNotFound},
		} {
			status, _, err := l.post(t.Context(), test.path, test.body, maxTrade)
			// A body that is not read to its end may end the request before the answer.
			if err == nil && status != test.want || err != nil && len(test.body) < streamWindow {
				t.Errorf("%s: %d, %v", name, status, err)
			}
		}
		f.refuses(a, BadRequest)
		if b.kept("h001") != l {
			t.Error("a bad request ended the connection")
		}
		for name, stream := range map[string][]byte{
			"huge":     binary.AppendUvarint(nil, maxPush+1),
			"overflow": bytes.Repeat([]byte{0xff}, 20),
		} {
			before := a.Stats().Refused[BadRequest]
			body, end := io.Pipe()
			go end.Write(stream)
			resp, err := l.request(t.Context(), pathPush, body)
			if err != nil {
				t.Fatal(name, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			resp.Body.Close()
			if a.Stats().Refused[BadRequest] == before {
				t.Errorf("%s was not refused", name)
			}
		}
		// A delta that cannot be read is left out, and the stream goes on.
		resp, err := l.request(t.Context(), pathPush, bytes.NewReader(appendPush(appendPush(nil, []byte("junk")), delta)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		before := a.Stats().Received
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || a.Stats().Received < before {
			t.Error(err)
		}
	})
}

// TestHelloComesFirst: nothing is answered before.
func TestHelloComesFirst(t *testing.T) {
	pair(t, nil, func(t *testing.T, _ *fleet, a, b *node) {
		b.Sync.mu.Lock()
		p := b.Sync.peers["h001"]
		b.Sync.mu.Unlock()
		raw, err := b.opts.Network.Dial(t.Context(), hostAddr(2).Addr(), hostAddr(1))
		if err != nil {
			t.Fatal(err)
		}
		c, err := b.prover(t.Context(), raw, p)
		if err != nil {
			t.Fatal(err)
		}
		defer c.cut()
		client, err := b.transport.NewClientConn(context.WithValue(t.Context(), linkKey{}, c), "http", "agent:80")
		if err != nil {
			t.Fatal(err)
		}
		l := &link{conn: c, http: client}
		for _, path := range []string{pathPush, pathCompare, pathTrade, pathCall + "echo"} {
			if status, _, err := l.post(t.Context(), path, nil, maxText); err != nil || status != http.StatusBadRequest {
				t.Errorf("%s: %d, %v", path, status, err)
			}
		}
		for _, junk := range [][]byte{nil, {1}, {0, 0}, {2, 1}, make([]byte, maxHello+1)} {
			if status, _, err := l.post(t.Context(), pathHello, junk, maxText); err != nil || status != http.StatusBadRequest {
				t.Errorf("hello %x: %d, %v", junk[:min(4, len(junk))], status, err)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	f := newFleet(t, 1)
	n := f.make("h001")
	for name, change := range map[string]func(*Options){
		"no host":      func(o *Options) { o.Host = "" },
		"no address":   func(o *Options) { o.Listen = netip.AddrPort{} },
		"no catalog":   func(o *Options) { o.Catalog = nil },
		"no protocol":  func(o *Options) { o.Protocols = catalog.Protocols{} },
		"wrong range":  func(o *Options) { o.Protocols = catalog.Protocols{Min: 2, Max: 1} },
		"wrong method": func(o *Options) { o.Handlers = map[string]Handler{"../x": nil} },
		"another key":  func(o *Options) { o.Key = newIdentity(t, "x", hostAddr(2)).key },
	} {
		o := n.opts
		o.Wire = nil
		change(&o)
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := n.Start(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("start after stop: %v", err)
	}
	if _, err := n.Call(t.Context(), "h002", "echo", nil); !errors.Is(err, ErrState) {
		t.Errorf("call after stop: %v", err)
	}
	n.Push(&catalog.Delta{})
}
