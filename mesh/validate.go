package mesh

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Validate checks what types cannot say: names, addresses, bounds, and that
// every name leads somewhere. It finds the first mistake, a *FieldError.
func (c *Config) Validate() error {
	k := &checker{config: c}
	k.top()
	k.each("hosts", keys(c.Hosts), func(name string) { k.host(c.Hosts[name]) })
	k.each("services", keys(c.Services), func(name string) { k.service(name, c.Services[name]) })
	k.each("externals", keys(c.Externals), func(name string) { k.external(c.Externals[name]) })
	k.each("gateways", keys(c.Gateways), func(name string) { k.gateway(name, c.Gateways[name]) })
	k.each("operators", keys(c.Operators), func(name string) {
		k.refer("access", c.Operators[name].Access, keyOf(c.Services), "service")
	})
	k.each("edges", keys(c.Edges), k.edgesOf)
	if k.found == nil { // a nil error, not a nil *FieldError
		return nil
	}
	return k.found
}

// checker walks the document. Its checks do nothing after the first mistake.
type checker struct {
	config *Config
	path   []string
	found  *FieldError
}

// Patterns of what texts may be, compiled once: each agent validates all hosts of
// each document, and somebody waits.
var (
	namePattern        = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	domainPattern      = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}(\.[a-z][a-z0-9-]{0,62})*$`)
	trustDomainPattern = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
	zonePattern        = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}(/[A-Za-z0-9._-]{1,63})?$`)
	hostKeyPattern     = regexp.MustCompile(`^ssh-ed25519 [A-Za-z0-9+/]{68}$`)
)

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// in checks what is one step further down.
func (k *checker) in(step string, check func()) {
	if k.found != nil {
		return
	}
	k.path = append(k.path, step)
	check()
	k.path = k.path[:len(k.path)-1]
}

func (k *checker) wrong(field, format string, args ...any) {
	if k.found != nil {
		return
	}
	path := strings.Join(k.path, ".")
	if field != "" {
		path = strings.TrimPrefix(path+"."+field, ".")
	}
	k.found = &FieldError{strings.ReplaceAll(path, ".[", "["), fmt.Sprintf(format, args...)}
}

// each checks the entries of a map of named things.
func (k *checker) each(field string, names []string, check func(name string)) {
	k.in(field, func() {
		for _, name := range names {
			k.in(name, func() {
				if !namePattern.MatchString(name) {
					k.wrong("", "%q is not a name", name)
					return
				}
				check(name)
			})
		}
	})
}

// items checks the entries of a list.
func (k *checker) items(field string, n int, check func(i int)) {
	k.in(field, func() {
		for i := range n {
			k.in(fmt.Sprintf("[%d]", i), func() { check(i) })
		}
	})
}

func (k *checker) word(field, value string, words ...string) {
	if !slices.Contains(words, value) {
		k.wrong(field, "%q is not one of %s", value, strings.Join(words, ", "))
	}
}

func (k *checker) percent(field string, p Percent) {
	if math.IsNaN(float64(p)) || p < 0 || p > 100 {
		k.wrong(field, "%v is not from 0 to 100", p)
	}
}

func (k *checker) atLeast(field string, n, least int) {
	if n < least || n > 1<<31-1 {
		k.wrong(field, "%d is not from %d to %d", n, least, 1<<31-1)
	}
}

func (k *checker) port(field string, n int) {
	if n < 1 || n > 65535 {
		k.wrong(field, "%d is not a port", n)
	}
}

func (k *checker) positive(field string, d Duration) {
	if d <= 0 {
		k.wrong(field, "%s is no time to wait for", d)
	}
}

// refer checks that names lead to one of what is known.
func (k *checker) refer(field string, names []string, known func(name string) bool, what string) {
	for _, name := range names {
		if !known(name) {
			k.wrong(field, "there is no %s %q", what, name)
		}
	}
}

// keyOf knows the keys of a map. A large fleet asks for its hosts often.
func keyOf[V any](m map[string]V) func(name string) bool {
	return func(name string) bool { _, is := m[name]; return is }
}

// among knows the names of a short list.
func among(names []string) func(name string) bool {
	return func(name string) bool { return slices.Contains(names, name) }
}

// shares checks that a split's sum is 100 and its versions are known.
func (k *checker) shares(field string, split map[string]Percent, versions []string) {
	if len(split) == 0 {
		return
	}
	sum := Percent(0)
	for _, name := range keys(split) {
		k.percent(field+"."+name, split[name])
		sum += split[name]
	}
	k.refer(field, keys(split), among(versions), "version")
	if math.Abs(float64(sum-100)) > 1e-6 {
		k.wrong(field, "the sum is %v, not 100", sum)
	}
}

// regex checks that a pattern is RE2, of a size that a proxy takes.
func (k *checker) regex(field, pattern string) {
	if len(pattern) > 1024 {
		k.wrong(field, "the pattern has more than 1024 bytes")
	} else if _, err := regexp.Compile(pattern); err != nil {
		k.wrong(field, "not RE2: %v", err)
	}
}

// tokens checks names of methods and headers, as RFC 9110 has them.
func (k *checker) tokens(field string, texts ...string) {
	for _, text := range texts {
		if text == "" || strings.ContainsFunc(text, func(r rune) bool {
			return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
		}) {
			k.wrong(field, "%q is not a token of HTTP", text)
		}
	}
}

func (k *checker) top() {
	c := k.config
	if c.Schema != Schema {
		k.wrong("schema", "%q is not %q", c.Schema, Schema)
	}
	if !namePattern.MatchString(c.Fleet) {
		k.wrong("fleet", "%q is not a name", c.Fleet)
	}
	if !domainPattern.MatchString(c.Domain) {
		k.wrong("domain", "%q is not the name of a domain", c.Domain)
	}
	if c.TrustDomain != "" && !trustDomainPattern.MatchString(c.TrustDomain) {
		k.wrong("trust_domain", "%q is not the name of a trust domain", c.TrustDomain)
	}
	k.word("authorization", c.Authorization, Declared, Explicit)
	k.positive("ca.leaf_ttl", c.CA.LeafTTL)
	k.positive("ca.intermediate_ttl", c.CA.IntermediateTTL)
	k.refer("ca.authorities", c.CA.Authorities, keyOf(c.Hosts), "host")
	k.word("telemetry.access_log", c.Telemetry.AccessLog, "off", "errors", "all")
	k.percent("telemetry.sample", c.Telemetry.Sample)
	for _, protocol := range append(slices.Clone(protocols), Upgraded) {
		if _, ok := c.Defaults[protocol]; !ok {
			k.wrong("defaults", "%q is missing", protocol)
		}
	}
	named := map[string]string{}
	for _, kind := range []struct {
		name  string
		names []string
	}{{"services", keys(c.Services)}, {"gateways", keys(c.Gateways)}, {"externals", keys(c.Externals)}} {
		for _, name := range kind.names {
			if other := named[name]; other != "" {
				k.wrong(kind.name+"."+name, "%s has the name, too", other)
			}
			named[name] = kind.name
		}
	}
}

func (k *checker) host(h *Host) {
	ip, err := netip.ParseAddr(h.Address)
	if err != nil || ip.Zone() != "" || ip.String() != h.Address {
		k.wrong("address", "%q is not an IP address in its usual form", h.Address)
	}
	if h.Zone != "" && !zonePattern.MatchString(h.Zone) {
		k.wrong("zone", "%q is not ZONE or REGION/ZONE", h.Zone)
	}
	if h.HostKey != "" && !hostKeyPattern.MatchString(h.HostKey) {
		k.wrong("host_key", "not an ed25519 key")
	}
}
