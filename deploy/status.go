package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/rollback"
)

// StatusSchema names the JSON form of a status.
const StatusSchema = "nixmesh.status/1"

// FleetStatus is the fleet on one screen.
type FleetStatus struct {
	Schema    string       `json:"schema"`
	Fleet     string       `json:"fleet"`
	Live      *LiveInfo    `json:"live,omitempty"`
	Hosts     []HostStatus `json:"hosts"`
	State     string       `json:"release_state,omitempty"` // how the live release ended, in words
	Spec      string       `json:"spec,omitempty"`          // hash of the HCL files of the live release
	Mesh      *FleetMesh   `json:"mesh,omitempty"`          // nil where no agent answered
	Attention []Next       `json:"attention,omitempty"`     // Why is what, Command is what to do

	meshUnhealthy bool
	lab           bool
	released      *ReleaseMesh // of the newest release that has one
}

// HostStatus is one host of a status.
type HostStatus struct {
	Host       string               `json:"host"`
	Address    string               `json:"address"`
	State      string               `json:"state"` // systemd's word, "unreachable", "no nixmesh", "refused"
	Error      string               `json:"error,omitempty"`
	Release    int                  `json:"release,omitempty"`
	Generation int                  `json:"generation,omitempty"`
	Toplevel   string               `json:"toplevel,omitempty"`
	Load       string               `json:"load,omitempty"`
	MemUsed    float64              `json:"mem_used,omitempty"`
	Units      []rollback.UnitState `json:"units,omitempty"`
	Run        string               `json:"run,omitempty"`
	Phase      rollback.Phase       `json:"phase,omitempty"`
	Reason     string               `json:"reason,omitempty"`
	LogTail    []string             `json:"log_tail,omitempty"`
	Drift      string               `json:"drift,omitempty"`

	// ResolvesIn is how many seconds a run under way has until the host ends it
	// by itself.
	ResolvesIn float64 `json:"resolves_in,omitempty"`

	// Pending is the release of a run that is not over, or needs a person.
	Pending int `json:"pending_release,omitempty"`
	// Planned says whether the live release was for this host: it was to change
	// it, or found it unchanged.
	Planned bool `json:"planned"`
	// Live says that the host runs and keeps what the live release names for it,
	// and that its own run of that release committed, where it had one.
	Live bool `json:"live"`

	// What one agent says of the host: whether it takes part, and how well its
	// instances are.
	Gossip    string         `json:"gossip,omitempty"`
	Instances []HostInstance `json:"instances,omitempty"`

	next string // advice on Error
}

// Status asks hosts what they run. Hosts that do not answer are part of it.
func (d *Deployer) Status(ctx context.Context, hosts []string) *FleetStatus {
	seen, history := d.Inspect(ctx, hosts)
	s := &FleetStatus{Schema: StatusSchema, Fleet: d.Fleet.Name, lab: d.Fleet.Lab}
	if r := history.mesh(); r != nil {
		s.released = r.Release.Mesh
	}
	live := history.Live()
	if live != nil {
		s.Live = &LiveInfo{Number: live.Release.Number, Restores: live.Release.Restores, By: live.Release.By, Time: live.Release.Time, Complete: live.Complete()}
		s.State, s.Spec = history.State(live), live.Release.Spec
	}
	slices.Sort(hosts)
	for _, h := range hosts {
		hs := d.hostStatus(seen[h], history)
		if live != nil {
			hs.Planned = live.Release.Hosts[h].Planned || live.Release.Hosts[h].Same
			hs.Live = history.liveOn(seen[h], &hs)
		}
		s.Hosts = append(s.Hosts, hs)
		s.Attention = append(s.Attention, attention(hs)...)
		if why := history.behind(&hs); why != "" {
			s.Attention = append(s.Attention, Next{Command: "nixmesh deploy", Why: h + ": " + why})
		}
	}
	for _, text := range history.left {
		s.Attention = append(s.Attention, Next{Why: text})
	}
	for _, text := range history.Ignored {
		s.Attention = append(s.Attention, Next{Why: text})
	}
	typedAll(d.Fleet.Lab, s.Attention)
	return s
}

func (d *Deployer) hostStatus(seen *Seen, history *History) HostStatus {
	hs := HostStatus{Host: seen.Host}
	if h := d.host(seen.Host); h != nil {
		hs.Address = h.Address
	}
	switch {
	case seen.Unreachable():
		hs.State, hs.Error = "unreachable", seen.Err.Error()
		return hs
	case seen.First:
		hs.State, hs.Toplevel, hs.Generation = "no nixmesh", seen.Facts.Current, seen.Facts.ProfileGeneration
		return hs
	case seen.Err != nil:
		hs.State, hs.Error, hs.next = "refused", seen.Err.Error(), nextOf(seen.Err)
		return hs
	}
	st, f := seen.Status, seen.Facts
	hs.State, hs.Load, hs.MemUsed, hs.Units = st.State, st.Load, st.MemUsed, st.Units
	hs.Generation, hs.Toplevel = st.Gen, st.Current
	hs.Release = releaseOf(history, seen.Host, st)
	hs.Drift = drift(f)
	if j := st.Journal; j != nil {
		hs.Run, hs.Phase, hs.Reason = j.Run, j.Phase, j.Reason
		if hs.underWay() {
			hs.ResolvesIn = max(j.Deadline, 0)
		}
		if hs.underWay() || j.Phase == rollback.PhaseNeedsOperator {
			hs.State, hs.Pending = string(j.Phase), j.Release
		}
		if j.Phase != rollback.PhaseCommitted {
			hs.LogTail = j.LogTail
		}
	}
	return hs
}

// releaseOf is the release that a host keeps: what it ran before while a switch
// is not over. The journal knows where the records are gone.
func releaseOf(history *History, host string, st *rollback.StatusAnswer) int {
	top := st.Current
	j := st.Journal
	if j != nil && j.Phase != rollback.PhaseNone && j.Phase != rollback.PhaseRooted && !j.Phase.Terminal() {
		top = j.Old
	}
	if n := history.Of(host, top); n > 0 {
		return n
	}
	if j != nil && j.Phase == rollback.PhaseCommitted && j.New == top {
		return j.Release
	}
	return 0
}

// liveOn says whether a host runs, and keeps, what the live release names.
func (h *History) liveOn(seen *Seen, hs *HostStatus) bool {
	live := h.Live()
	named := live.Release.Hosts[hs.Host]
	if seen.Status == nil || named.Toplevel == "" || hs.Pending > 0 {
		return false
	}
	if seen.Status.Current != named.Toplevel || seen.Status.Profile != named.Toplevel {
		return false
	}
	return !named.Planned || h.end(live, hs.Host) == "complete"
}

// behind says why a host does not run the newest release that was for it, ""
// where it does, or where something else is told of it already.
func (h *History) behind(hs *HostStatus) string {
	last := h.last(hs.Host)
	if last == nil || hs.Error != "" || hs.Drift != "" || hs.Pending > 0 || hs.Toplevel == "" || hs.State == "no nixmesh" {
		return ""
	}
	n := last.Release.Number
	if hs.Release == n || h.undone(n) || hs.Live && hs.Planned {
		return ""
	}
	runs := "what it ran before"
	if hs.Release > 0 {
		runs = fmt.Sprintf("release %d", hs.Release)
	}
	switch end := h.end(last, hs.Host); end {
	case "rolled back", "failed":
		return fmt.Sprintf("release %d %s there; it runs %s", n, end, runs)
	}
	return fmt.Sprintf("runs %s, not release %d", runs, n)
}

// underWay says whether a switch is not over: what runs may not stay.
func (h *HostStatus) underWay() bool {
	return h.Phase != "" && h.Phase != rollback.PhaseRooted && !h.Phase.Terminal()
}

// attention lists what a person should look at, with the command for it.
func attention(h HostStatus) []Next {
	var a []Next
	add := func(command, format string, args ...any) {
		a = append(a, Next{Command: command, Why: h.Host + ": " + fmt.Sprintf(format, args...)})
	}
	switch {
	case h.Error != "":
		add(h.next, "%s", strings.TrimPrefix(h.Error, h.Host+": "))
	case h.Phase == rollback.PhaseNeedsOperator:
		add("nixmesh status "+h.Host, "the last run left it in neither state: %s", h.Reason)
	case h.Phase == rollback.PhaseRooted:
		add("nixmesh deploy", "run %s was prepared and not started; the next deploy takes it over", h.Run)
	case h.underWay():
		add("nixmesh deploy --wait-lock 90s", "%s", h.whatNext())
	case h.Drift != "":
		add("nixmesh deploy --accept drift", "%s", h.Drift)
	case h.State == "no nixmesh":
		add("nixmesh deploy --first "+h.Host, "has no nixmesh yet")
	}
	for _, u := range h.Units {
		if u.Active != "active" {
			add("nixmesh exec --on "+h.Host+" -- systemctl status "+u.Name, "%s is %s (%s)", u.Name, u.Active, u.Sub)
		}
	}
	return a
}

// CompareSpec asks for attention where the spec here, read for the lab or not, is
// not the one that the live release was made of.
func (s *FleetStatus) CompareSpec(lab bool, hash string) {
	if s.Spec != "" && s.Spec != hash {
		s.Attention = append(s.Attention, Next{Command: Typed(lab, "nixmesh plan"), Why: fmt.Sprintf("the spec here is not that of release %d", s.Live.Number)})
	}
}

// Exit is 0 where nothing is wrong, 1 where a unit is not active or the mesh not
// well, 5 for a host that needs a person, 7 for hosts that do not answer.
func (s *FleetStatus) Exit() Exit {
	worst := ExitDone
	if s.meshUnhealthy {
		worst = ExitFailed
	}
	for _, h := range s.Hosts {
		switch {
		case h.State == "unreachable":
			worst = Worst(worst, ExitUnreachable)
		case h.State == "refused":
			worst = Worst(worst, ExitRefused)
		case h.Phase == rollback.PhaseNeedsOperator:
			worst = Worst(worst, ExitDegraded)
		}
		for _, u := range h.Units {
			if u.Active != "active" {
				worst = Worst(worst, ExitFailed)
			}
		}
	}
	return worst
}
