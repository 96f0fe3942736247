package rollback

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// condition is one thing that has to hold.
type condition struct {
	name    string
	unit    string
	service string
	ok      bool
	answer  string // why not, as one sentence
}

// sample is one look at the host.
type sample struct {
	conditions []condition
	hopeless   *condition // will not come right by itself
}

func (s *sample) add(c ...condition) { s.conditions = append(s.conditions, c...) }

func (s *sample) holds() bool { return s.passed() == len(s.conditions) }

func (s *sample) passed() int {
	n := 0
	for _, c := range s.conditions {
		if c.ok {
			n++
		}
	}
	return n
}

// worst is the first condition that does not hold, or the last of all.
func (s *sample) worst() condition {
	for _, c := range s.conditions {
		if !c.ok {
			return c
		}
	}
	return condition{ok: true, answer: "everything held, but not long enough in a row"}
}

func (s *sample) verdict(good bool, reason string) *Verdict {
	return &Verdict{Good: good, Reason: reason, Passed: s.passed(), Total: len(s.conditions)}
}

// watcher samples the units of a host; it remembers the sample before.
type watcher struct {
	h     *helper
	j     *Journal
	facts *hostfacts.Facts
	conn  Systemd
	last  map[string]UnitDetail
	bad   []string // unit files of NEW that systemd cannot load

	// failed are units that were seen failed, though not before the switch, and
	// never active since. One that another wants is started with each of its
	// restarts, so a single look may find it busy.
	failed []string
	asked  bool
}

func (w *watcher) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// sample looks once. A connection that broke (daemon-reexec) is a condition
// that does not hold, and is made anew for the next sample.
func (w *watcher) sample(ctx context.Context) *sample {
	s := &sample{}
	now := w.h.current()
	s.add(condition{name: "current system", ok: now == w.j.New, answer: "the host runs " + now})
	if err := w.units(ctx, s); err != nil {
		w.close()
		s.add(condition{name: "systemd", answer: fmt.Sprintf("systemd does not answer: %v", err)})
	}
	return s
}

func (w *watcher) units(ctx context.Context, s *sample) error {
	if w.conn == nil {
		conn, err := w.h.Systemd(ctx)
		if err != nil {
			return err
		}
		w.conn = conn
	}
	if !w.asked {
		bad, err := w.askLoadState(ctx)
		if err != nil {
			return err
		}
		w.bad, w.asked = bad, true
	}
	list, err := w.conn.List(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]hostfacts.Unit{}
	var names []string
	for _, u := range w.facts.Units {
		wanted[u.Name] = u
		names = append(names, u.Name)
	}
	for _, u := range list {
		if _, ok := wanted[u.Name]; !ok && !ofRun(u.Name, w.j.Run) && !ofCheck(u.Name) && (isService(u.Name) || u.failed()) {
			names = append(names, u.Name)
		}
	}
	details, err := w.conn.Show(ctx, names)
	if err != nil {
		return err
	}
	now := make(map[string]UnitDetail, len(details))
	for _, d := range details {
		now[d.Name] = d
		w.noteFailed(d)
		if u, ok := wanted[d.Name]; ok {
			w.judgeWanted(s, u, d)
		} else {
			w.judgeOther(s, d)
		}
	}
	for _, b := range w.bad {
		c := condition{name: b, unit: b, answer: b + " cannot be loaded by systemd (a setting in it is refused)"}
		s.add(c)
		s.hopeless = &c
	}
	w.last = now
	return nil
}

// judgeWanted judges a unit of host.json: active, and the same process as in
// the sample before.
func (w *watcher) judgeWanted(s *sample, u hostfacts.Unit, d UnitDetail) {
	c := condition{name: u.Name, unit: u.Name, service: u.Service}
	switch {
	case d.failed():
		c.answer = u.Name + " is failed"
		s.hopeless = &c
	case d.Active != "active":
		c.answer = fmt.Sprintf("%s is %s (%s)", u.Name, d.Active, d.Sub)
	default:
		c.ok, c.answer = w.stable(d)
	}
	s.add(c)
}

// judgeOther judges every other unit. One that the switch, or something after
// it, started has to run or rest in peace; one that was failed before and that
// NEW did not change may do what it does, failing again included.
func (w *watcher) judgeOther(s *sample, d UnitDetail) {
	if w.h.brokenBefore(w.j, d) {
		return
	}
	before, known := w.j.Baseline[d.Name]
	if !d.failed() && known && before.Invocation == d.Invocation && before.Restarts == d.Restarts {
		return
	}
	c := condition{name: d.Name, unit: d.Name, ok: true}
	switch {
	case d.failed():
		c.ok, c.answer = false, d.Name+" is failed"
	case d.restarting():
		c.ok, c.answer = false, fmt.Sprintf("%s keeps dying (%d restarts)", d.Name, d.Restarts)
	case d.Active == "active":
		c.ok, c.answer = w.stable(d)
	default:
		return
	}
	s.add(c)
}

// noteFailed keeps failed: out of it is what runs, or ended well, since.
func (w *watcher) noteFailed(d UnitDetail) {
	switch known := slices.Contains(w.failed, d.Name); {
	case d.failed() && !known && !w.h.brokenBefore(w.j, d):
		w.failed = append(w.failed, d.Name)
	case d.Active == "active" && known:
		w.failed = slices.DeleteFunc(w.failed, func(u string) bool { return u == d.Name })
	}
}

// stable compares a unit with the sample before: a crash loop shows other
// numbers even when each look finds the unit active.
func (w *watcher) stable(d UnitDetail) (bool, string) {
	was, ok := w.last[d.Name]
	if !ok {
		// The first look of all proves nothing; later on, a unit that is new
		// (a connection's sshd, say) must not start the count again.
		return w.last != nil, d.Name + " has been seen once only"
	}
	if was.MainPID != d.MainPID || was.Restarts != d.Restarts || was.Invocation != d.Invocation {
		return false, fmt.Sprintf("%s was restarted (%d restarts)", d.Name, d.Restarts)
	}
	return true, ""
}

// unloadable asks again, at the end, for unit files that systemd cannot load.
func (w *watcher) unloadable(ctx context.Context) []string {
	if w.conn == nil {
		return nil
	}
	bad, err := w.askLoadState(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	w.bad = bad
	return bad
}

// askLoadState asks for every unit file of NEW by name: one that cannot be
// loaded is in no list, and the system says "running".
func (w *watcher) askLoadState(ctx context.Context) ([]string, error) {
	names, err := w.h.Files.ReadDir(w.j.New + "/etc/systemd/system")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no units of its own
	}
	if err != nil {
		return nil, fmt.Errorf("read unit files of %s: %w", w.j.New, err)
	}
	var units []string
	for _, n := range names {
		if isUnitFile(n) {
			units = append(units, n)
		}
	}
	details, err := w.conn.Show(ctx, units)
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, d := range details {
		if d.Load == "bad-setting" || d.Load == "error" {
			bad = append(bad, d.Name)
		}
	}
	return bad, nil
}

// isUnitFile leaves out templates, which have no state, and folders.
func isUnitFile(name string) bool {
	switch path.Ext(name) {
	case ".service", ".socket", ".timer", ".mount", ".automount", ".target", ".path", ".swap", ".slice":
		return !strings.Contains(name, "@.")
	}
	return false
}

func splitLines(s string) []string { return strings.Split(strings.TrimRight(s, "\n"), "\n") }
