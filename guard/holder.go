package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// holdTimeout is how long a copy may take to appear.
const holdTimeout = 10 * time.Second

// holder is an nft that owns the copy of the table: to the kernel, an owned
// table is nobody else's to flush or to change, and goes with its owner.
type holder struct {
	stdin io.WriteCloser
	said  *tail
	done  chan struct{} // closed when nft has ended
}

// tail keeps the first bytes of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte // guarded by mu
}

const maxTail = 1000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b[:min(len(b), maxTail-len(t.b))]...)
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// hold starts an nft that loads file and stays; it ends with release. The copy
// is there when the kernel says so, see Watcher.keep.
func hold(nft, file string) (*holder, error) {
	if strings.ContainsAny(file, "\"\n\\") {
		return nil, fmt.Errorf("hold the copy of the kernel's table: %q is no name for nft", file)
	}
	h := &holder{said: &tail{}, done: make(chan struct{})}
	cmd := exec.Command(nft, "--interactive")
	cmd.Stdout, cmd.Stderr = h.said, h.said
	var err error
	if h.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("hold the copy of the kernel's table: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("hold the copy of the kernel's table: %w", err)
	}
	go func() {
		defer close(h.done)
		_ = cmd.Wait() // it stays until its input ends, or says why not
	}()
	if _, err := fmt.Fprintf(h.stdin, "include %q\n", file); err != nil {
		h.release()
		return nil, fmt.Errorf("hold the copy of the kernel's table: %w", err)
	}
	return h, nil
}

// ended says whether nft has.
func (h *holder) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

// release lets nft end, and the copy with it.
func (h *holder) release() {
	_ = h.stdin.Close()
	<-h.done
}

// keep sees to it that there is a copy, and waits for it.
func (w *Watcher) keep(ctx context.Context) error {
	if w.o.Copy == "" || w.holder != nil && !w.holder.ended() {
		return nil
	}
	w.report.Copy = false
	want, err := hashOf(w.o.Copy)
	if err != nil {
		return err
	}
	h, err := hold(w.o.Nft, w.o.Copy)
	if err != nil {
		return err
	}
	w.holder = h
	w.past, w.copied = w.past.add(w.copied), Counts{} // the copy before it is gone
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	for {
		hash, err := w.kernel.loaded(copyName)
		switch {
		case err == nil && hash == want:
			w.report.Copy = true
			return nil
		case err == nil && (h.ended() || strings.Contains(h.said.String(), "Error")):
			w.release() // it has said all after that
			err = errors.New(h.said.String())
		case err == nil:
			err = wait(ctx, 5*time.Millisecond)
		}
		if err != nil {
			w.release()
			return fmt.Errorf("hold the copy of the kernel's table: %w", err)
		}
	}
}

func (w *Watcher) release() {
	if w.holder != nil {
		w.holder.release()
		w.holder = nil
	}
	w.report.Copy = false
}

// wait is for that long, or until ctx ends, which is an error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
