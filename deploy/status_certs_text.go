package deploy

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
)

// WriteMeshCerts writes certificates for people; wide has a line for each host.
func WriteMeshCerts(w io.Writer, c *MeshCerts, style term.Style, wide bool) {
	fmt.Fprintf(w, "%s   %s\n", style.Bold(c.Fleet), c.headline())
	if wide {
		writeTable(w, c.wideTable(style))
		writeTable(w, c.askedTable(style))
	} else {
		writeTable(w, c.table(style))
	}
	WriteAttention(w, c.Attention)
}

func (c *MeshCerts) headline() string {
	text := "certs " + c.Summary()
	if n := len(c.Silent); n > 0 {
		text += fmt.Sprintf("   %s did not answer", plural(n, "agent"))
	}
	return text
}

// Summary is "ok 71 h" until the first leaf ends, or what is worst.
func (c *MeshCerts) Summary() string {
	counts := map[string]int{}
	var first time.Time
	leaves := 0
	for _, r := range c.rows() {
		if r.kind != kindLeaf {
			counts[r.level]++
			continue
		}
		counts[r.level] += len(r.hosts)
		if leaves++; !r.until.IsZero() && (first.IsZero() || r.until.Before(first)) {
			first = r.until
		}
	}
	for _, level := range []string{agentapi.LevelExpired, agentapi.LevelCritical, levelNone, agentapi.LevelWarn} {
		if n := counts[level]; n > 0 {
			return fmt.Sprintf("%d %s", n, level)
		}
	}
	switch {
	case len(c.Hosts) == 0:
		return "unknown"
	case leaves == 0:
		return "none"
	}
	return "ok " + LifeText(first.Sub(c.now))
}

func (c *MeshCerts) table(style term.Style) *term.Table {
	t := &term.Table{Header: []string{"IDENTITY", "HOSTS", "EXPIRES", "RENEWS", "ISSUER", "STATE"}}
	for _, r := range c.rows() {
		expires, renews := "", ""
		if !r.until.IsZero() {
			expires = LifeText(r.until.Sub(c.now))
			if !r.until.After(c.now) {
				expires = term.Ago(c.now, r.until)
			}
		}
		if !r.renews.IsZero() {
			renews = "now"
			if r.renews.After(c.now) {
				renews = "in " + LifeText(r.renews.Sub(c.now))
			}
		}
		if r.kind == kindAuthority {
			renews = strings.TrimSpace(renews + " (deploy)")
		}
		t.Add(style.Bold(r.name), hostsText(r.hosts, len(c.Hosts)), expires, renews, issuersText(r.issuers), levelText(r.level, style))
	}
	return t
}

// issuersText is "shop CA (db1 db2)" of several authorities of one CA.
func issuersText(issuers []string) string {
	ca, text := "", ""
	for i, issuer := range issuers {
		name, host, ok := strings.Cut(strings.TrimSuffix(issuer, ")"), " (")
		if !ok || i > 0 && name != ca {
			return some(issuers)
		}
		ca, text = name, text+" "+host
	}
	if ca == "" {
		return ""
	}
	return fmt.Sprintf("%s (%s)", ca, strings.TrimSpace(text))
}

// hostsText names hosts, or says that all have it.
func hostsText(hosts []string, all int) string {
	if len(hosts) == all && all > 3 {
		return "all"
	}
	return strings.ReplaceAll(some(hosts), ",", "")
}

func levelText(level string, style term.Style) string {
	switch level {
	case agentapi.LevelOK:
		return style.Good(level)
	case agentapi.LevelWarn, levelNone:
		return style.Warn(level)
	}
	return style.Bad(level)
}

func (c *MeshCerts) wideTable(style term.Style) *term.Table {
	t := &term.Table{Header: []string{"HOST", "IDENTITY", "ID", "FROM", "EXPIRES", "RENEWS", "ISSUER", "STATE", "PROBLEM"}}
	add := func(host string, cert agentapi.Cert) {
		t.Add(style.Bold(host), cert.Name, cert.ID, stamp(cert.From), stamp(cert.Until), stamp(cert.Renews), cert.Issuer, levelText(levelOf(cert), style), cert.Problem)
	}
	for _, h := range c.Hosts {
		for _, leaf := range h.Leaves {
			add(h.Host, leaf)
		}
		if h.Authority != nil {
			add(h.Host, *h.Authority)
		}
		for _, root := range h.Roots {
			add(h.Host, root)
		}
	}
	return t
}

// askedTable is how hosts get on with the authorities that they ask.
func (c *MeshCerts) askedTable(style term.Style) *term.Table {
	t := &term.Table{Header: []string{"HOST", "ASKS", "CLOCK", "FAILURES", "RETRY", "ERROR"}, Right: []bool{false, false, true, true}}
	for _, h := range c.Hosts {
		for _, a := range h.Authorities {
			failures, skew := "", ""
			if a.Failures > 0 {
				failures = fmt.Sprint(a.Failures)
			}
			if a.SkewMS != 0 {
				skew = fmt.Sprintf("%+d ms", a.SkewMS)
			}
			t.Add(style.Bold(h.Host), a.Host, skew, failures, stamp(a.Retry), a.Error)
		}
	}
	return t
}
