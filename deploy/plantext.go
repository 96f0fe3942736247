package deploy

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/term"
)

// WritePlan writes a plan for people.
func WritePlan(w io.Writer, p *Plan, s term.Style, now time.Time) {
	fmt.Fprintf(w, "%s. Comparing %d of %d hosts.\n\n", liveLine(p, now), len(p.Hosts), p.Total)
	width := 0
	for _, h := range p.Hosts {
		width = max(width, len(h.Host))
	}
	quiet := 0
	for _, h := range p.Hosts {
		if h.Action == ActionUnchanged && h.Envoy == nil {
			quiet++
			continue
		}
		writeHost(w, h, s, width)
	}
	asides := p.asides()
	for _, line := range asides {
		fmt.Fprintln(w, line)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "%s\n", n)
	}
	if p.Mesh != nil {
		WriteMesh(w, p.Mesh, p.lab)
	}
	ca := p.CA.lines(now, p.switches)
	for _, line := range ca {
		fmt.Fprintln(w, line)
	}
	if quiet < len(p.Hosts) || len(p.Notes)+len(asides)+len(ca) > 0 || p.Mesh != nil {
		fmt.Fprintln(w)
	}
	if p.Evaluated != nil {
		fmt.Fprintln(w, builtLine(p))
	}
	if gated := p.gated(hostfacts.GateEnvoy); len(gated) > 0 {
		fmt.Fprintf(w, "Verification waits for Envoy's listeners, too: %s.\n", some(gated))
	}
	fmt.Fprintln(w, countLine(p))
}

// gated are the hosts that change and whose verification waits for a gate.
func (p *Plan) gated(gate string) []string {
	var hosts []string
	for _, h := range p.Hosts {
		if h.changes() && slices.Contains(h.Gates, gate) {
			hosts = append(hosts, h.Host)
		}
	}
	return hosts
}

// asides says which hosts cannot be compared for good, as a switch is not over
// there, and which the spec does not have any more.
func (p *Plan) asides() []string {
	var lines []string
	for _, h := range p.Hosts {
		j := h.seen.openRun()
		if j == nil {
			continue
		}
		when := ""
		if j.Deadline > 0 {
			when = fmt.Sprintf(" within %.0f s", max(j.Deadline, 1))
		}
		lines = append(lines, fmt.Sprintf("%s: run %s is %s (another deploy, or one that was killed) and ends by itself%s.\n"+
			"  Compared with what the host keeps; compare again when it is over.", h.Host, j.Run, j.Phase, when))
	}
	if p.history != nil {
		lines = append(lines, p.history.left...)
	}
	return lines
}

// builtLine says which hosts Nix had to evaluate, and how many not.
func builtLine(p *Plan) string {
	n := len(p.Evaluated)
	if n == 0 {
		return "Built: nothing evaluated."
	}
	text := fmt.Sprintf("Built: %s evaluated (%s)", plural(n, "host"), strings.Join(p.Evaluated, ", "))
	if rest := len(p.Hosts) - n; rest > 0 {
		text += fmt.Sprintf(", %d unchanged", rest)
	}
	return text + "."
}

func liveLine(p *Plan, now time.Time) string {
	if p.Live == nil {
		return "No release yet: this is release 1"
	}
	name := fmt.Sprintf("Live: release %d", p.Live.Number)
	if p.Live.Restores > 0 {
		name += fmt.Sprintf(" (= %d)", p.Live.Restores)
	}
	if !p.Live.Complete {
		name += ", " + p.liveState()
	}
	return fmt.Sprintf("%s, %s by %s", name, term.Ago(now, p.Live.Time), p.Live.By)
}

// liveState is how an incomplete live release ended, in words.
func (p *Plan) liveState() string {
	if p.history == nil || p.history.Live() == nil {
		return "not complete"
	}
	return p.history.State(p.history.Live())
}

func writeHost(w io.Writer, h *HostPlan, s term.Style, width int) {
	name := s.Bold(term.Pad(h.Host, width))
	switch h.Action {
	case ActionUnreachable:
		fmt.Fprintf(w, "%s   %s  %s\n", name, s.Bad("unreachable"), h.Problem.Text)
		return
	case ActionRefused:
		fmt.Fprintf(w, "%s   %s  %s\n", name, s.Bad("refused"), h.Problem.Text)
		if h.Problem.Next != "" {
			fmt.Fprintf(w, "%s   next: %s\n", strings.Repeat(" ", width), h.Problem.Next)
		}
		return
	case ActionFirst:
		writeFirst(w, h, name, strings.Repeat(" ", width))
		return
	default:
		fmt.Fprintf(w, "%s   %s%s\n", name, counts(h.Units), size(h))
	}
	if h.Drift != "" {
		fmt.Fprintf(w, "  %s %s\n", s.Warn("drifted:"), h.Drift)
	}
	if h.OldVersion != "" && h.NewVersion != "" && h.OldVersion != h.NewVersion {
		fmt.Fprintf(w, "  nixmesh %s -> %s\n", h.OldVersion, h.NewVersion)
	}
	if h.Envoy != nil {
		fmt.Fprintf(w, "  %s\n", h.Envoy)
	}
	writeGuarded(w, h, "  ")
	writePackages(w, h.Packages, s)
	writeUnits(w, h.Units)
}

// writeFirst tells what first contact means: what is there, and what is new.
func writeFirst(w io.Writer, h *HostPlan, name, indent string) {
	version := h.seen.Facts.Extra["nixos-version"]
	if version != "" {
		version = " " + version
	}
	fmt.Fprintf(w, "%s   NixOS%s, no nixmesh yet. Copy as %s, no signature needed this once.\n", name, version, h.seen.User)
	if f := h.facts; f != nil {
		var people, keys []string
		for _, o := range f.Operators {
			people = append(people, o.Name)
			if key, _, _ := strings.Cut(o.NixKey, ":"); key != "" {
				keys = append(keys, key)
			}
		}
		fmt.Fprintf(w, "%s   New: user deploy (keys of %s), one sudo rule, trusted key %s%s\n", indent,
			strings.Join(people, ", "), strings.Join(keys, ", "), serviceText(f))
	}
	writeGuarded(w, h, indent+"   ")
}

// writeGuarded says what ceases to work where the kernel's table is new.
func writeGuarded(w io.Writer, h *HostPlan, indent string) {
	if h.Guarded {
		fmt.Fprintf(w, "%sfrom now on only Envoy reaches the ports of services here (mtls = \"permissive\" leaves a service's open),\n", indent)
		fmt.Fprintf(w, "%sand services with egress = \"declared\" connect to their upstreams only\n", indent)
	}
}

// serviceText is ", services api web".
func serviceText(f *hostfacts.Facts) string {
	var names []string
	for _, i := range f.Instances {
		if !slices.Contains(names, i.Service) {
			names = append(names, i.Service)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", services " + strings.Join(names, " ")
}

// plural is "1 start" or "3 starts".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func counts(u UnitChanges) string {
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{{len(u.Start), "start"}, {len(u.Restart), "restart"}, {len(u.Reload), "reload"}, {len(u.Stop), "stop"}} {
		if c.n > 0 {
			parts = append(parts, plural(c.n, c.word))
		}
	}
	if len(parts) == 0 {
		return "no unit is touched"
	}
	return strings.Join(parts, ", ")
}

func size(h *HostPlan) string {
	if h.Added == 0 && h.Delta == 0 {
		return ""
	}
	return "   +" + term.Size(h.Added)
}

// packagesShown bounds the list in the text; JSON has all.
const packagesShown = 12

func writePackages(w io.Writer, changes []PackageChange, s term.Style) {
	width := 0
	for _, c := range changes {
		width = max(width, len(c.Name))
	}
	for i, c := range changes {
		if i == packagesShown && len(changes) > packagesShown+1 {
			fmt.Fprintf(w, "  %s and %d more packages (-o json lists them)\n", s.Ellipsis(), len(changes)-i)
			return
		}
		name := term.Pad(c.Name, width)
		switch {
		case len(c.Old) == 0:
			fmt.Fprintf(w, "  + %s  %s\n", name, strings.Join(c.New, ", "))
		case len(c.New) == 0:
			fmt.Fprintf(w, "  - %s  %s\n", name, strings.Join(c.Old, ", "))
		default:
			fmt.Fprintf(w, "  ~ %s  %s -> %s\n", name, strings.Join(c.Old, ", "), strings.Join(c.New, ", "))
		}
	}
}

func writeUnits(w io.Writer, u UnitChanges) {
	for _, c := range []struct {
		word  string
		units []string
	}{{"start", u.Start}, {"restart", u.Restart}, {"reload", u.Reload}, {"stop", u.Stop}} {
		for _, name := range c.units {
			fmt.Fprintf(w, "  %-8s %s\n", c.word, name)
		}
	}
	for _, name := range u.Unseen {
		fmt.Fprintf(w, "  %-8s %s   changed; used from its next start on\n", "keep", name)
	}
}

func countLine(p *Plan) string {
	change, same, away, refused := 0, 0, 0, 0
	for _, h := range p.Hosts {
		switch h.Action {
		case ActionChange, ActionFirst:
			change++
		case ActionUnchanged:
			same++
		case ActionUnreachable:
			away++
		case ActionRefused:
			refused++
		}
	}
	text := "No host changes."
	switch {
	case change > 0:
		text = fmt.Sprintf("%s, %d %s not.", verb(change, "changes", "change"), same, map[bool]string{true: "does", false: "do"}[same == 1])
	case same == len(p.Hosts):
		text = fmt.Sprintf("No host changes: %d of %d run this already.", same, len(p.Hosts))
	}
	if away > 0 {
		text += fmt.Sprintf(" %d unreachable.", away)
	}
	if refused > 0 {
		text += fmt.Sprintf(" %d refused.", refused)
	}
	if len(p.Waves) > 0 && change > 1 {
		text += " Order: " + waveText(p.Waves) + "."
	}
	return text
}

func verb(n int, one, many string) string {
	if n == 1 {
		return "1 host " + one
	}
	return fmt.Sprintf("%d hosts %s", n, many)
}

// waveText is "app2 (@canary), then app1 (@app)".
func waveText(waves []Wave) string {
	parts := make([]string, len(waves))
	for i, w := range waves {
		parts[i] = strings.Join(w.Hosts, ", ")
		if w.Name != "" {
			parts[i] += " (" + w.Name + ")"
		}
	}
	return strings.Join(parts, ", then ")
}

// WriteRollback writes what a rollback would do.
func WriteRollback(w io.Writer, p *Plan, s term.Style, now time.Time) {
	state := "live"
	if p.Live != nil && !p.Live.Complete {
		state = p.liveState()
	}
	if p.Live != nil {
		fmt.Fprintf(w, "Release %d (%s, %s) -> contents of release %d\n", p.Live.Number, state, term.Ago(now, p.Live.Time), p.Restores)
	}
	width := 0
	for _, h := range p.Hosts {
		width = max(width, len(h.Host))
	}
	for _, h := range p.Hosts {
		if h.Action == ActionUnchanged && h.Envoy == nil {
			continue
		}
		if h.Problem != nil {
			writeHost(w, h, s, width)
			continue
		}
		line := unitLine(h.Units)
		if h.Envoy != nil {
			line += "; " + h.Envoy.String()
		}
		fmt.Fprintf(w, "  %s  gen %d   %s\n", s.Bold(term.Pad(h.Host, width)), h.Generation, line)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "%s\n", n)
	}
	if p.Mesh.Publishes() {
		fmt.Fprintf(w, "  %s\n", p.meshAgain())
		writeChanges(w, p.Mesh.Changes)
	}
	if p.Changes() {
		fmt.Fprintf(w, "Will be recorded as release %d, signed again here. Nothing is built or deleted; data is not touched.\n", p.Number)
	}
}

// meshAgain is "mesh  signed again as version 58 (contents of 41)".
func (p *Plan) meshAgain() string {
	version := int64(1)
	if d := p.Mesh.live.document; d != nil {
		version = d.Version + 1
	}
	if c := p.Mesh.live.config; c != nil && len(p.Waves) > 0 && p.Mesh.during.Hash() != c.Hash() {
		version++ // what is added comes before the hosts
	}
	return fmt.Sprintf("mesh  signed again as version %d (contents of %d)", version, p.Restores)
}

// unitLine is "restart web.service, api.service; stop x.service".
func unitLine(u UnitChanges) string {
	var parts []string
	for _, c := range []struct {
		word  string
		units []string
	}{{"start", u.Start}, {"restart", u.Restart}, {"reload", u.Reload}, {"stop", u.Stop}} {
		if len(c.units) > 4 {
			parts = append(parts, fmt.Sprintf("%s %d units", c.word, len(c.units)))
		} else if len(c.units) > 0 {
			parts = append(parts, c.word+" "+strings.Join(c.units, ", "))
		}
	}
	if len(parts) == 0 {
		return "no unit is touched"
	}
	return strings.Join(parts, "; ")
}
