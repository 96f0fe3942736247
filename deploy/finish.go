package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/rollback"
)

// keep writes the outcomes into the local copy of the release.
func (e *execution) keep() {
	e.mu.Lock()
	for h, r := range e.results {
		if _, known := e.stored.Outcomes[h]; known {
			continue
		}
		if end := outcomeEnd(r.End); end != "" {
			e.stored.Outcomes[h] = Outcome{Release: e.stored.Raw.Hash, Run: e.id, End: end, Generation: r.Gen, Reason: r.Reason}
		}
	}
	e.mu.Unlock()
	if err := e.d.Local.Write(e.stored); err != nil {
		e.d.note("", "the local copy of release %d was not written: %v", e.plan.Number, err)
	}
}

func outcomeEnd(e End) string {
	switch e {
	case EndDeployed:
		return string(rollback.PhaseCommitted)
	case EndRolledBack, EndTested:
		return string(rollback.PhaseRolledBack)
	case EndFailed, EndRefused:
		return string(rollback.PhaseFailed)
	case EndNeedsOperator:
		return string(rollback.PhaseNeedsOperator)
	}
	return ""
}

// summary is the end of the operation: one line a host, what makes sense next,
// and the exit code. It is told as the last event.
func (e *execution) summary(soft context.Context) *Summary {
	p := e.plan
	s := &Summary{Schema: SummarySchema, Kind: p.Kind, Number: p.Number, Fleet: p.Fleet, Fleetwide: p.Total, Evaluated: p.Evaluated, Hosts: []HostResult{},
		Seconds: float64(took(e.d.now().Sub(e.started)))}
	for _, h := range p.Hosts {
		var r HostResult
		switch {
		case e.result(h.Host) != nil:
			r = *e.result(h.Host)
		default:
			r = newResult(h)
			r.End, r.Reason = endOfPlan(h)
		}
		s.Hosts = append(s.Hosts, r)
		s.Exit = Worst(s.Exit, r.End.Exit())
		if r.Envoy != nil && r.Envoy.Error != "" {
			s.Exit = Worst(s.Exit, ExitDegraded)
		}
		if h.Problem != nil {
			s.Exit = Worst(s.Exit, h.Problem.Exit)
		}
	}
	if soft.Err() != nil {
		s.Exit = Worst(s.Exit, ExitInterrupted)
	}
	s.Mesh, s.MeshHeld = e.mesh.last(), e.mesh.held()
	if s.Mesh != nil && (s.Mesh.Exit != ExitUnreachable || p.Kind == ReleaseMeshOnly) {
		s.Exit = Worst(s.Exit, s.Mesh.Exit) // a deploy has its own word on hosts that are away
	}
	s.Live = s.count(EndDeployed, EndUnchanged)
	s.Title = e.title(s)
	s.Next = e.next(s)
	typedAll(e.d.Fleet.Lab, s.Next)
	e.d.emit(Event{Kind: KindSummary, Number: p.Number, Summary: s})
	return s
}

// endOfPlan is the end of a host that no run was made for.
func endOfPlan(h *HostPlan) (End, string) {
	reason := ""
	if h.Problem != nil {
		reason = h.Problem.Text
	}
	switch h.Action {
	case ActionUnchanged:
		return EndUnchanged, ""
	case ActionUnreachable:
		return EndUnreachable, reason
	case ActionRefused:
		if h.Problem.Exit == ExitDegraded {
			return EndNeedsOperator, reason
		}
		return EndRefused, reason
	}
	return EndNotStarted, ""
}

func (e *execution) title(s *Summary) string {
	name := fmt.Sprintf("Release %d", s.Number)
	switch {
	case e.stopped == "interrupted":
		return name + " was interrupted. Hosts that were armed have resolved by themselves."
	case e.stopped != "":
		where := ""
		if i := e.lastWave(); len(e.plan.Waves) > 1 && i >= 0 {
			where = fmt.Sprintf(" in wave %d of %d", i+1, len(e.plan.Waves))
		}
		return fmt.Sprintf("%s stopped%s (%s).", name, where, e.stopped)
	case e.o.Run.Test:
		return name + " was a test: every host runs what it ran before."
	}
	if s.Kind == ReleaseRollback {
		name += fmt.Sprintf(" (= %d)", e.plan.Restores)
	}
	done := hostsWith(s, EndDeployed)
	if len(e.plan.Waves) == 0 && s.Mesh != nil {
		return name + " is of the mesh alone: no host was switched."
	}
	if len(done) == 0 {
		return name + " was deployed to no host."
	}
	if rest := e.notAsked(); len(rest) > 0 {
		text := fmt.Sprintf("%s: deployed to %s (%s)", name, plural(len(done), "host"), strings.Join(done, ", "))
		if same := hostsWith(s, EndUnchanged); len(same) > 0 {
			text += fmt.Sprintf(", %d unchanged (%s)", len(same), strings.Join(same, ", "))
		}
		return text + "; " + notInIt(rest) + "."
	}
	return fmt.Sprintf("%s is live on %d of %d hosts.", name, s.Live, s.Fleetwide)
}

// notAsked lists the spec's hosts that the plan leaves out, each with the
// release that it runs: "n1 r8".
func (e *execution) notAsked() []string {
	var rest []string
	for _, h := range hostNames(e.d.Fleet) {
		if slices.ContainsFunc(e.plan.Hosts, func(p *HostPlan) bool { return p.Host == h }) {
			continue
		}
		rest = append(rest, withRelease(h, e.plan.history.Of(h, e.plan.carried[h])))
	}
	return rest
}

// withRelease is "n1 r8", or the name alone where the release is not known.
func withRelease(host string, release int) string {
	if release == 0 {
		return host
	}
	return fmt.Sprintf("%s r%d", host, release)
}

// namesShown is how many hosts a sentence names before it only counts them.
const namesShown = 8

// notInIt is "2 hosts not in it (n1 r8, n2 r8)".
func notInIt(hosts []string) string {
	text := plural(len(hosts), "host") + " not in it"
	if len(hosts) > namesShown {
		return text
	}
	return text + " (" + strings.Join(hosts, ", ") + ")"
}

// lastWave is the last wave in which a host was started.
func (e *execution) lastWave() int {
	last := -1
	for i, w := range e.plan.Waves {
		for _, h := range w.Hosts {
			if r := e.result(h); r != nil && r.End != EndNotStarted && r.End != EndUnreachable {
				last = i
			}
		}
	}
	return last
}

// next lists the commands that make sense now.
func (e *execution) next(s *Summary) []Next {
	var next []Next
	if e.o.Run.Test {
		return []Next{{Command: "nixmesh deploy", Why: "for good"}}
	}
	for _, h := range s.Hosts {
		switch h.End {
		case EndRolledBack, EndFailed, EndNeedsOperator, EndNoAnswer:
			next = append(next, Next{Command: "nixmesh status " + h.Host, Why: "its last run, with the log"})
		}
	}
	if len(next) > 3 {
		next = next[:3]
	}
	envoys, again := e.nextOfEnvoys(s)
	next = append(next, envoys...)
	var left []string
	for _, h := range s.Hosts {
		switch h.End {
		case EndRolledBack, EndFailed, EndNotStarted, EndReverted, EndUnreachable, EndNoAnswer:
			left = append(left, h.Host)
		}
	}
	if s.Mesh != nil && s.Mesh.Error != "" && len(left) == 0 {
		next = append(next, Next{Command: "nixmesh mesh apply", Why: "publishes the mesh configuration; the hosts stay as they are"})
	}
	if len(left) > 0 {
		next = append(next, Next{Command: "nixmesh " + map[bool]string{true: "rollback", false: "deploy"}[s.Kind == ReleaseRollback],
			Why: "finishes " + list(left)})
	}
	switch last := len(next) - 1; {
	case again == nil:
	case last >= 0 && next[last].Command == again.Command:
		next[last].Why += ", and " + again.Why
	default:
		next = append(next, *again)
	}
	if done := hostsWith(s, EndDeployed); len(done) > 0 && len(left) > 0 && s.Kind == ReleaseSystem {
		if b := e.plan.history.Live(); b != nil {
			next = append(next, Next{Command: "nixmesh rollback", Why: "puts " + list(done) + " back"})
		}
	}
	return next
}

// nextOfEnvoys is what helps hosts whose Envoys were not renewed, for the first
// few, and what tries again on all; nil where there are none.
func (e *execution) nextOfEnvoys(s *Summary) (next []Next, again *Next) {
	var hosts []string
	for _, h := range s.Hosts {
		if h.Envoy == nil || h.Envoy.Error == "" {
			continue
		}
		hosts = append(hosts, h.Host)
		if h.Envoy.Next != nil && len(next) < 3 {
			next = append(next, *h.Envoy.Next)
		}
	}
	if len(hosts) == 0 {
		return nil, nil
	}
	again = &Next{Command: "nixmesh deploy", Why: "tries the Envoy of " + list(hosts) + " again; the system stays"}
	if s.Kind == ReleaseRollback {
		again.Command = fmt.Sprintf("nixmesh rollback --to %d", e.plan.Restores)
	}
	return next, again
}

func hostsWith(s *Summary, end End) []string {
	var hosts []string
	for _, h := range s.Hosts {
		if h.End == end {
			hosts = append(hosts, h.Host)
		}
	}
	return hosts
}

// list joins names as in a sentence.
func list(names []string) string {
	names = slices.Sorted(slices.Values(names))
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// ExplainNext is the advice of an error, for the command that prints it.
func ExplainNext(err error) string { return nextOf(err) }

// ExitOf is the exit code of an operation that ended in an error before
// anything was switched.
func ExitOf(err error) Exit {
	var own *Error
	var refused *RefusedError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &own):
		return own.Exit
	case errors.As(err, &refused) && refused.Status == int(ExitRefused):
		return ExitRefused
	case lost(err):
		return ExitUnreachable
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	}
	return ExitFailed
}
