package spec

import (
	"fmt"
	"strings"
)

// isWildcard says whether a host name stands for all below it.
func isWildcard(host string) bool { return strings.HasPrefix(host, "*.") }

// isDNSName holds the rule for names of hosts in the Internet, lower case.
func isDNSName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, dnsLetters) != "" {
			return false
		}
	}
	return len(name) <= 253
}

// dnsLetters are those of a label, RFC 1123.
const dnsLetters = "abcdefghijklmnopqrstuvwxyz0123456789-"

// badHostName says what is wrong with the host name of a gateway, "" for nothing,
// and the name that was probably meant.
func badHostName(host string) (reason, normal string) {
	name := host
	if _, rest, hasScheme := strings.Cut(name, "://"); hasScheme {
		return "A host name has no scheme.", rest
	}
	if before, _, hasPort := strings.Cut(name, ":"); hasPort && !strings.HasPrefix(name, "[") {
		return "A host name has no port: listen says it.", before
	}
	if lower := strings.ToLower(name); lower != name {
		return "Host names are written in lower case.", lower
	}
	if trimmed := strings.TrimSuffix(name, "."); trimmed != name {
		return "A host name does not end in a dot.", trimmed
	}
	if !isDNSName(strings.TrimPrefix(name, "*.")) {
		return fmt.Sprintf("%q is not a host name.", host), ""
	}
	return "", ""
}

// badHost reports a label that is no host name (NM0106).
func (d *decoder) badHost(b *block, reason, normal string) {
	p := problem{code: "NM0106", rng: b.name, block: b.title, detail: reason, hint: `for example "shop.example" or "*.shop.example"`}
	if normal != "" {
		p.hint = fmt.Sprintf("write %q", normal)
	}
	d.add(p)
}
