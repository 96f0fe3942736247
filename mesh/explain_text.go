package mesh

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func (e *explainer) edgeText() string {
	r := e.x.Asked
	not := e.x.Verdict.Why == WhyNoEdge
	verb := func(is, isNot string) string {
		if not {
			return isNot
		}
		return is
	}
	callee := r.Callee
	if r.Listen != "" {
		callee += ", listen " + r.Listen + ","
	}
	if operator, is := strings.CutPrefix(r.Caller, "operator/"); is {
		return fmt.Sprintf("%s %s access to %s", operator, verb("has", "has no"), r.Callee)
	}
	if e.config.Gateways[r.Caller] != nil {
		return fmt.Sprintf("gateway %s %s to %s", r.Caller, verb("leads", "does not lead"), strings.TrimSuffix(callee, ","))
	}
	return fmt.Sprintf("%s %s %s as an upstream", r.Caller, verb("names", "does not name"), callee)
}

func (e *explainer) narrowText(s *Service) string {
	r, v := e.x.Asked, e.x.Verdict
	allow := func() string {
		everything := "any path"
		if !isHTTP(e.x.Protocol) {
			everything = "any connection"
		}
		return fmt.Sprintf("allow %q %s", r.Caller, ruleOf(s.Allows[v.Allow], everything))
	}
	switch {
	case v.Why == WhyAllow:
		return allow()
	case v.Why == WhyShadow && v.Counted:
		return fmt.Sprintf("every allow %q is a shadow, and none admits it: counted, not refused", r.Caller)
	case v.Why == WhyShadow:
		return allow()
	case v.Why == WhyNarrowed:
		return fmt.Sprintf("no allow %q admits it: %s", r.Caller, allowText(e.config, s, r.Caller))
	case v.Why == WhyNoAllow:
		return fmt.Sprintf("%s has no allow %q, and the fleet's authorization is explicit", r.Callee, r.Caller)
	case s == nil:
		return "nothing: " + r.Callee + " is an external"
	default:
		return fmt.Sprintf("nothing: %s has no allow %q", r.Callee, r.Caller)
	}
}

// routeText is "/reports/, rewritten to /x -> api@v1 (90), api@v2 (10)".
func (e *explainer) routeText() string {
	text := "default"
	if e.route != nil {
		text = ruleText(e.route.Rule)
	}
	if path := e.x.Received.Path; path != e.x.Asked.Path {
		text += ", asks for " + path
	}
	var to []string
	for _, share := range e.shares(e.config.Services[e.x.Asked.Callee]) {
		to = append(to, fmt.Sprintf("%s (%v)", versionName(e.x.Asked.Callee, share.Version), share.Percent))
	}
	text += " -> " + orNone(to)
	if e.route != nil && e.route.Mirror != nil {
		text += fmt.Sprintf(", %v %% copied to %s", e.route.Mirror.Percent, versionName(e.x.Asked.Callee, e.route.Mirror.Version))
	}
	return text
}

// callsText is how a caller calls, all that a proxy would else choose by itself.
func callsText(e *Edge) string {
	words := []string{"connect within " + timeText(e.ConnectTimeout), e.LB}
	if e.Hash != "" {
		words[1] += " by " + e.Hash
	}
	if e.SlowStart > 0 {
		words = append(words, "slow start "+timeText(e.SlowStart))
	}
	words = append(words, fmt.Sprintf("panic below %v %%", e.Panic))
	if o := e.Outlier; o.Errors > 0 {
		words = append(words, fmt.Sprintf("ejects for %s after %d errors, at most %v %%, judged every %s", timeText(o.Eject), o.Errors, o.Max, timeText(o.Every)))
	} else {
		words = append(words, "ejects nobody")
	}
	c := e.Circuit
	words = append(words, fmt.Sprintf("at most %d connections, %d requests, %d waiting, %d retries", c.Connections, c.Requests, c.Pending, c.Retries))
	zones := "zones do not matter"
	if e.Failover.Zones {
		zones = fmt.Sprintf("leaves its zone below %v %% healthy", e.Failover.Threshold)
	}
	return strings.Join(append(words, zones), ", ")
}

// versionName is "api@v1", or "api" where there are no versions.
func versionName(service, version string) string {
	if version == "" {
		return service
	}
	return service + "@" + version
}

func orNone(texts []string) string {
	if len(texts) == 0 {
		return "nobody"
	}
	return strings.Join(texts, ", ")
}

// timeText is a time as the HCL has it: "90s", "5m", "250ms"; zero is none.
func timeText(d Duration) string {
	if d == 0 {
		return "none"
	}
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d.D()%u.unit == 0 {
			return strconv.FormatInt(int64(d.D()/u.unit), 10) + u.name
		}
	}
	return d.String()
}
