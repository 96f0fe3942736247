package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tick is how often counters are read, and the table is looked for in case
	// that a message was lost.
	tick = time.Second
	// loadTimeout is for an nft that hangs; thousands of callers take 0.1 s.
	loadTimeout = 10 * time.Second
)

// Options is what a watcher needs.
type Options struct {
	Nft    string // the program
	File   string // the table, which a switch replaces
	Copy   string // the copy of it that this guard owns, "" = none
	Report string // where to write the report
	Logger *slog.Logger
	// Ready is called once the table is loaded and watched, Alive again and again.
	Ready, Alive func()
}

// Watcher keeps the table loaded.
type Watcher struct {
	o       Options
	changes *socket    // where the kernel tells
	kernel  *socket    // where it is asked
	heard   generation // so far: a tick may come in the middle of a transaction
	report  Report
	written Report
	past    Counts // of tables that are gone
	now     Counts // of the table that is there
	copied  Counts // of the copy that is there
	own     int    // loads of ours that are not heard yet
	holder  *holder
}

// Run loads the table and keeps it until ctx ends, which is no error. A first
// load that fails is one.
func Run(ctx context.Context, o Options) (err error) {
	w := &Watcher{o: o, report: Report{Schema: Schema, Since: time.Now().UTC()}}
	// Heard before the first load: what comes in between is not missed.
	if w.changes, err = openSocket(true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.changes.close()) }()
	if w.kernel, err = openSocket(false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.kernel.close()) }()

	if err := w.load(ctx); err != nil {
		return err
	}
	defer w.release()
	w.copy(ctx)
	w.tell()
	w.o.Ready()
	stop := context.AfterFunc(ctx, func() { _ = w.changes.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for ctx.Err() == nil {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step is until the next tick: it hears of changes and mends them.
func (w *Watcher) step(ctx context.Context) error {
	missing, loaded := w.look(ctx), w.report.Loaded
	w.o.Alive()
	if err := w.changes.file.SetReadDeadline(time.Now().Add(tick)); err != nil {
		return fmt.Errorf("hear of changes of the kernel's tables: %w", err)
	}
	for ctx.Err() == nil {
		messages, _, err := w.changes.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if missing && w.report.Loaded.Equal(loaded) && ctx.Err() == nil {
				w.restore(ctx, time.Now(), "") // nobody told who it was
			}
			return nil
		case errors.Is(err, unix.ENOBUFS):
			// More changes than there is room for: whatever they were.
			w.heard, w.own = generation{}, 0
			w.o.Logger.Warn("changes of the kernel's tables were missed")
			w.restore(ctx, time.Now(), "")
			return nil
		case err != nil:
			return fmt.Errorf("hear of changes of the kernel's tables: %w", err)
		}
		heard := time.Now()
		for _, m := range messages {
			if w.heard.add(m) {
				g := w.heard
				w.heard = generation{}
				w.judge(ctx, g, heard)
			}
		}
	}
	return nil
}

// judge mends what a transaction did, unless that was to load the whole table of
// this system.
func (w *Watcher) judge(ctx context.Context, g generation, heard time.Time) {
	if !g.touched {
		return
	}
	if hash, err := hashOf(w.o.File); err == nil && g.hash == hash {
		w.report.Table, w.report.Loaded, w.report.Error = hash, heard.UTC(), ""
		if w.own > 0 {
			w.own-- // its counters are those that are read since
		} else {
			w.gone()
		}
		return
	}
	w.restore(ctx, heard, g.by)
}

// look reads the counters, and tries again to put back a table that could not be
// loaded. One that is missing else was changed a moment ago, which is told next.
func (w *Watcher) look(ctx context.Context) (missing bool) {
	hash, err := w.kernel.loaded(tableName)
	switch {
	case err != nil:
		w.o.Logger.Error("the kernel's table is not seen", "err", err)
	case w.report.Table == "":
		w.restore(ctx, time.Now(), "")
	case hash != w.report.Table:
		missing = true
	default:
		w.count()
	}
	w.copy(ctx)
	w.tell()
	return missing
}

// copy sees to the copy of the table. The table is enough without it.
func (w *Watcher) copy(ctx context.Context) {
	err := w.keep(ctx)
	apart := ""
	if err != nil && ctx.Err() == nil {
		apart = err.Error()
	}
	if apart != "" && apart != w.report.Apart {
		w.o.Logger.Warn("the kernel's table has no copy, and whoever flushes tables opens this host until it is back", "err", err)
	}
	w.report.Apart = apart
}

// count adds what the table counts to what those before it did.
func (w *Watcher) count() {
	counts, err := w.kernel.counts(tableName)
	if err != nil {
		w.o.Logger.Error("the counters of the kernel's table are not read", "err", err)
		return
	}
	w.now = counts
	// The copy counts what came while the table was away.
	if also, err := w.kernel.counts(copyName); err == nil {
		also.Plaintext = 0 // let through by both
		w.copied = also
		counts = counts.add(also)
	}
	w.report.Counts = w.past.add(counts)
}

// gone keeps what a table counted that another one has replaced. The copy has
// counters of its own, see keep.
func (w *Watcher) gone() {
	w.past, w.now = w.past.add(w.now), Counts{}
}

// restore puts the table back, and says so.
func (w *Watcher) restore(ctx context.Context, noticed time.Time, by string) {
	before := w.report.Error
	if err := w.load(ctx); err != nil {
		if ctx.Err() == nil && err.Error() != before {
			w.o.Logger.Error("the kernel's table is not as it should be, and could not be loaded", "changed_by", by, "err", err)
		}
		return
	}
	took := time.Since(noticed)
	w.report.Restored++
	w.report.Last = &Restore{At: noticed.UTC(), By: by, Took: took.Microseconds()}
	w.o.Logger.Warn("the kernel's table was changed, and is restored", "changed_by", by, "took", took)
	w.tell()
}

// load loads the table of this system, whole or not at all.
func (w *Watcher) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, w.o.Nft, "-f", w.o.File).CombinedOutput()
	if err == nil {
		w.gone()
		w.own++
		w.report.Table, err = hashOf(w.o.File)
	}
	if err != nil {
		err = fmt.Errorf("load the kernel's table: %w: %s", err, strings.TrimSpace(string(output[:min(len(output), 1000)])))
		w.report.Table, w.report.Error = "", err.Error()
		w.tell()
		return err
	}
	w.report.Loaded, w.report.Error = time.Now().UTC(), ""
	return nil
}

// tell writes the report where it says something new, and touches it else: who reads
// it knows that somebody looks.
func (w *Watcher) tell() {
	if w.report == w.written {
		now := time.Now()
		if err := os.Chtimes(w.o.Report, now, now); err != nil {
			w.written = Report{} // somebody removed it
		}
		return
	}
	if err := w.report.write(w.o.Report); err != nil {
		w.o.Logger.Error("the guard's report is not written", "err", err)
		return
	}
	w.written = w.report
}
