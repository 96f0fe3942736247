package deploy

import (
	"sync"
	"time"
)

// Phase names one column of progress; the words are the same everywhere.
type Phase string

// The phases that people see, in order, and the way back.
const (
	PhaseBuild   Phase = "build"
	PhaseCopy    Phase = "copy"
	PhaseArm     Phase = "arm"
	PhaseSwitch  Phase = "switch"
	PhaseVerify  Phase = "verify"
	PhaseCommit  Phase = "commit"
	PhaseRestore Phase = "restore" // the host goes back to its old generation
)

// Phases are the columns of progress.
func Phases() []Phase {
	return []Phase{PhaseBuild, PhaseCopy, PhaseArm, PhaseSwitch, PhaseVerify, PhaseCommit}
}

// State of a phase on a host.
type State string

// The states of a phase.
const (
	StateStart    State = "start"
	StateProgress State = "progress"
	StateOK       State = "ok"
	StateFail     State = "FAIL"
)

// Kind says what an event is about, and so which of its fields are set.
type Kind string

// The kinds of events.
const (
	KindRelease Kind = "release" // start of an operation: Number, Fleet, Hosts, By, Detail
	KindStep    Kind = "step"    // what goes on before a release starts: Detail
	KindWave    Kind = "wave"    // a wave starts: Wave, Waves, Detail = its selector
	KindHost    Kind = "host"    // a phase of a host changed: Host, Phase, State, Detail, Took
	KindFailure Kind = "failure" // a failure's words and log: Host, Detail, Log
	KindResult  Kind = "result"  // a host is through: Host, Result
	KindNote    Kind = "note"    // something worth a line: Detail, Host may be empty
	KindSummary Kind = "summary" // the end: Summary
)

// Event is one thing that happened.
type Event struct {
	Time    time.Time   `json:"time"`
	Kind    Kind        `json:"kind"`
	Number  int         `json:"release,omitempty"`
	Fleet   string      `json:"fleet,omitempty"`
	Hosts   []string    `json:"hosts,omitempty"`
	By      string      `json:"by,omitempty"`
	Wave    int         `json:"wave,omitempty"`
	Waves   int         `json:"waves,omitempty"`
	Host    string      `json:"host,omitempty"`
	Phase   Phase       `json:"phase,omitempty"`
	State   State       `json:"state,omitempty"`
	Detail  string      `json:"detail,omitempty"`
	Log     []string    `json:"log,omitempty"`
	Took    Seconds     `json:"seconds,omitempty"`
	Result  *HostResult `json:"result,omitempty"`
	Summary *Summary    `json:"summary,omitempty"`
}

// Seconds is a duration that JSON shows as seconds.
type Seconds float64

// D is the duration.
func (s Seconds) D() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// Sink takes events. Event may be called from several goroutines.
type Sink interface{ Event(Event) }

// SinkFunc is a function as a Sink.
type SinkFunc func(Event)

// Event calls the function.
func (f SinkFunc) Event(e Event) { f(e) }

// Recorder is a Sink that keeps everything, for tests.
type Recorder struct {
	mu     sync.Mutex // guards what follows
	events []Event
}

// Event keeps e.
func (r *Recorder) Event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events is a copy of what came so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

var (
	_ Sink = SinkFunc(nil)
	_ Sink = (*Recorder)(nil)
)
