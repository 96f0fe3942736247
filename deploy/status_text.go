package deploy

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/rollback"
)

// WriteStatus writes a status for people.
func WriteStatus(w io.Writer, s *FleetStatus, style term.Style, now time.Time) {
	fmt.Fprintf(w, "%s   %s\n\n", style.Bold(s.Fleet), s.headline(now))
	s.hostTable(w, style)
	if s.Mesh != nil {
		writeTable(w, serviceTable(s.Mesh.Services, style))
	}
	WriteAttention(w, s.Attention)
}

// hostTable writes a line for each host. It has a column of gossip where an
// agent answered.
func (s *FleetStatus) hostTable(w io.Writer, style term.Style) {
	t := term.Table{Header: []string{"HOST", "RELEASE", "GEN", "STATE", "LOAD", "MEM", "SERVICES"},
		Right: []bool{false, true, true, false, true, true, false}}
	const gossip = 4
	if s.Mesh != nil {
		t.Header, t.Right = slices.Insert(t.Header, gossip, "GOSSIP"), slices.Insert(t.Right, gossip, false)
	}
	for _, h := range s.Hosts {
		gen, mem := "", ""
		if h.Generation > 0 {
			gen = fmt.Sprint(h.Generation)
		}
		if h.MemUsed > 0 {
			mem = fmt.Sprintf("%.0f%%", h.MemUsed*100)
		}
		cells := []string{style.Bold(h.Host), h.releaseText(), gen, style.State(h.State), firstWord(h.Load), mem, strings.Join(services(h.Units, style), "  ")}
		if s.Mesh != nil {
			cells = slices.Insert(cells, gossip, gossipWord(h.Gossip, style))
		}
		t.Add(cells...)
	}
	// A failing Write of stdout has nobody to be told to.
	_ = t.Write(w)
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
	text := fmt.Sprintf("%s %s   services %d/%d active", name, s.liveText(term.Ago(now, s.Live.Time)), up, all)
	if s.Mesh != nil {
		text += s.Mesh.headline()
	}
	return text
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
		name := instanceName(u)
		if u.Active != "active" {
			name = style.Bad(name + "(" + u.Active + ")")
		}
		names = append(names, name)
	}
	return names
}

// instanceName is "api@v1" for the unit of one version or one of several
// instances, else the service's name.
func instanceName(u rollback.UnitState) string {
	base := strings.TrimSuffix(u.Name, filepath.Ext(u.Name))
	if strings.HasPrefix(base, u.Service+"@") {
		return base
	}
	return u.Service
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
	if h.Gossip != "" {
		fmt.Fprintf(w, "  gossip    %s\n", gossipWord(h.Gossip, style))
	}
	for _, l := range fold(h.LogTail) {
		fmt.Fprintf(w, "  |  %s\n", l)
	}
	health := &term.Table{Header: []string{"SERVICE", "READY", "HEALTH"}}
	for _, i := range h.Instances {
		text := style.State(i.State)
		if i.Reason != "" {
			text += ": " + i.Reason
		}
		health.Add(instance(i.Service, i.Version), fmt.Sprintf("%d/%d", i.Ready, i.Copies), text)
	}
	writeTable(w, health)
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
