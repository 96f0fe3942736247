package deploy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/internal/term"
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
	Attention []Next       `json:"attention,omitempty"`     // Why is what, Command is what to do
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

	next string // advice on Error
}

// Status asks hosts what they run. Hosts that do not answer are part of it.
func (d *Deployer) Status(ctx context.Context, hosts []string) *FleetStatus {
	seen, history := d.Inspect(ctx, hosts)
	s := &FleetStatus{Schema: StatusSchema, Fleet: d.Fleet.Name}
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

// CompareSpec asks for attention where the spec here is not the one that the
// live release was made of.
func (s *FleetStatus) CompareSpec(hash string) {
	if s.Spec != "" && s.Spec != hash {
		s.Attention = append(s.Attention, Next{Command: "nixmesh plan", Why: fmt.Sprintf("the spec here is not that of release %d", s.Live.Number)})
	}
}

// Exit is 0 where nothing is wrong, 1 where a unit is not active, 5 for a host
// that needs a person, 7 for hosts that do not answer.
func (s *FleetStatus) Exit() Exit {
	worst := ExitDone
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

// WriteStatus writes a status for people.
func WriteStatus(w io.Writer, s *FleetStatus, style term.Style, now time.Time) {
	fmt.Fprintf(w, "%s   %s\n\n", style.Bold(s.Fleet), s.headline(now))
	t := term.Table{Header: []string{"HOST", "RELEASE", "GEN", "STATE", "LOAD", "MEM", "SERVICES"},
		Right: []bool{false, true, true, false, true, true, false}}
	for _, h := range s.Hosts {
		release, gen, mem := h.releaseText(), "", ""
		if h.Generation > 0 {
			gen = fmt.Sprint(h.Generation)
		}
		if h.MemUsed > 0 {
			mem = fmt.Sprintf("%.0f%%", h.MemUsed*100)
		}
		t.Add(style.Bold(h.Host), release, gen, style.State(h.State), firstWord(h.Load), mem, strings.Join(services(h.Units, style), "  "))
	}
	// A failing Write of stdout has nobody to be told to.
	_ = t.Write(w)
	if len(s.Attention) == 0 {
		return
	}
	fmt.Fprintln(w, "\nAttention")
	for _, a := range s.Attention {
		if a.Command == "" {
			fmt.Fprintf(w, "  %s\n", a.Why)
		} else {
			fmt.Fprintf(w, "  %s\n    %s\n", a.Why, a.Command)
		}
	}
}

// firstWord is the load of the last minute of "0.12 0.20 0.31".
func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

func (s *FleetStatus) headline(now time.Time) string {
	if s.Live == nil {
		return "no release yet"
	}
	up, all := 0, 0
	for _, h := range s.Hosts {
		for _, u := range h.Units {
			if u.Service == "" {
				continue
			}
			all++
			if u.Active == "active" {
				up++
			}
		}
	}
	name := fmt.Sprintf("release %d", s.Live.Number)
	if s.Live.Restores > 0 {
		name += fmt.Sprintf(" (= %d)", s.Live.Restores)
	}
	switch word, _, _ := strings.Cut(s.State, " "); word {
	case "rolled", "failed", "interrupted", "under":
		name += " (" + s.State + ")"
	}
	return fmt.Sprintf("%s %s   services %d/%d active", name, s.liveText(term.Ago(now, s.Live.Time)), up, all)
}

// liveText is "live on 4/5 hosts, 2 min ago", and where the release was not for
// all hosts "live on 1/1 host (n3), 2 min ago; 2 hosts not in it (n1 r8, n2 r8)".
func (s *FleetStatus) liveText(ago string) string {
	on := 0
	var in, out []string
	for _, h := range s.Hosts {
		if h.Planned {
			in = append(in, h.Host)
		} else {
			out = append(out, withRelease(h.Host, h.Release))
		}
		if h.Planned && h.Live {
			on++
		}
	}
	text := fmt.Sprintf("live on %d/%s", on, plural(len(in), "host"))
	if len(out) == 0 {
		return text + ", " + ago
	}
	if len(in) > 0 && len(in) <= namesShown {
		text += " (" + strings.Join(in, ", ") + ")"
	}
	return text + ", " + ago + "; " + notInIt(out)
}

// releaseText is "3", and "3 (6 verifying)" while a switch is not over.
func (h *HostStatus) releaseText() string {
	text := ""
	if h.Release > 0 {
		text = fmt.Sprint(h.Release)
	}
	if h.Pending > 0 {
		text = strings.TrimSpace(fmt.Sprintf("%s (%d %s)", text, h.Pending, h.Phase))
	}
	return text
}

// whatNext says what becomes of a run that is not over, and when.
func (h *HostStatus) whatNext() string {
	back := "to what ran before"
	if h.Release > 0 {
		back = fmt.Sprintf("to release %d", h.Release)
	}
	run := fmt.Sprintf("run %s of release %d is %s", h.Run, h.Pending, h.Phase)
	switch h.Phase {
	case rollback.PhaseRollingBack:
		return run + ": it goes back " + back
	case rollback.PhaseCommitting:
		return run + ": it is proved, and being kept"
	}
	if h.ResolvesIn == 0 {
		return run + ": its time is over, it goes back " + back + " now"
	}
	return fmt.Sprintf("%s: unless its deployer commits it, it goes back %s by itself within %.0f s", run, back, max(h.ResolvesIn, 1))
}

// services names a host's services; one that is not active says so.
func services(units []rollback.UnitState, style term.Style) []string {
	var names []string
	for _, u := range units {
		if u.Service == "" {
			continue
		}
		name := u.Service
		if u.Active != "active" {
			name = style.Bad(name + "(" + u.Active + ")")
		}
		names = append(names, name)
	}
	return names
}

// WriteHostStatus writes one host in detail.
func WriteHostStatus(w io.Writer, h HostStatus, style term.Style) {
	fmt.Fprintf(w, "%s  %s  %s\n", style.Bold(h.Host), h.Address, style.State(h.State))
	if h.Error != "" {
		fmt.Fprintf(w, "  %s\n", h.Error)
		return
	}
	fmt.Fprintf(w, "  runs      %s\n", h.Toplevel)
	fmt.Fprintf(w, "  system    %s\n", system(h.Generation, h.Release))
	if h.underWay() {
		fmt.Fprintf(w, "  now       %s\n", h.whatNext())
	}
	if h.Run != "" {
		text := fmt.Sprintf("%s %s", h.Run, h.Phase)
		if h.Reason != "" {
			text += ": " + h.Reason
		}
		fmt.Fprintf(w, "  last run  %s\n", text)
	}
	if h.Drift != "" {
		fmt.Fprintf(w, "  %s   %s\n", style.Warn("drifted"), h.Drift)
	}
	for _, l := range fold(h.LogTail) {
		fmt.Fprintf(w, "  |  %s\n", l)
	}
	if len(h.Units) == 0 {
		return
	}
	t := term.Table{Header: []string{"UNIT", "SERVICE", "STATE"}}
	for _, u := range h.Units {
		t.Add(u.Name, u.Service, style.State(u.Active)+" ("+u.Sub+")")
	}
	fmt.Fprintln(w)
	_ = t.Write(w)
}
