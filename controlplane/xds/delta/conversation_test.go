package delta

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
	rpc "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

var update = flag.Bool("update", false, "rewrite the conversations in testdata")

// TestConversations reads what is said and done, line by line, and compares what the
// server answers. An indented line is the server's. Types are c, e, s, l, r and x; a
// resource is type:name=version, and what it needs in brackets; ~type:name is spared.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = converse(t, string(text)) })
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("-file +server:\n%s", diff)
			}
		})
	}
}

type conversation struct {
	*testing.T
	s        *Server
	st       *stream
	open     map[string][]string // nonces by type, oldest first
	envoy    string              // its version
	response strings.Builder
}

func converse(t *testing.T, text string) string {
	c := &conversation{T: t, s: New(Options{}), open: map[string][]string{}, envoy: "1.40.0"}
	c.st = c.s.open(func(error) {})
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(&c.response, line)
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			c.do(words[0], words[1:], line)
			c.flush()
		}
	}
	return c.response.String()
}

func (c *conversation) do(verb string, words []string, line string) {
	switch verb {
	case "replace":
		c.s.Replace(c.resources(words), spared(words)...)
	case "update":
		c.s.Update(c.resources(words))
	case "stream":
		c.open = map[string][]string{}
		c.st = c.s.open(func(error) {})
		if len(words) > 0 {
			c.envoy = words[0]
		}
	case "agent": // another process
		c.s, c.open = New(Options{}), map[string][]string{}
		c.st = c.s.open(func(error) {})
	case "wait":
		d, err := time.ParseDuration(words[0])
		if err != nil {
			c.Fatal(err)
		}
		time.Sleep(d)
	case "status":
		c.status()
	case "ask", "ack", "nack":
		req := &request{TypeUrl: url(words[0]), Node: &core.Node{Id: "host1", UserAgentVersionType: &core.Node_UserAgentVersion{UserAgentVersion: c.envoy}}}
		if verb != "ask" {
			if nonces := c.open[words[0]]; len(nonces) > 0 {
				req.ResponseNonce, c.open[words[0]] = nonces[0], nonces[1:]
			}
		}
		if verb == "nack" {
			_, text, _ := strings.Cut(line, words[0]+" ")
			req.ErrorDetail = &rpc.Status{Message: text}
		} else {
			c.names(req, words[1:])
		}
		if err := c.s.hear(c.st, req); err != nil {
			fmt.Fprintf(&c.response, "\tends: %v\n", err)
		}
	default:
		c.Fatalf("no verb %q", verb)
	}
}

// names are subscribed to; -name is the opposite, name=version is there already.
func (c *conversation) names(req *request, words []string) {
	for _, w := range words {
		name, version, has := strings.Cut(w, "=")
		switch {
		case strings.HasPrefix(w, "-"):
			req.ResourceNamesUnsubscribe = append(req.ResourceNamesUnsubscribe, w[1:])
			continue
		case has:
			if req.InitialResourceVersions == nil {
				req.InitialResourceVersions = map[string]string{}
			}
			req.InitialResourceVersions[strings.TrimPrefix(name, "only:")] = version
			if req.TypeUrl == url("c") || req.TypeUrl == url("l") {
				continue // "*" as it is
			}
		}
		req.ResourceNamesSubscribe = append(req.ResourceNamesSubscribe, name)
	}
}

func (c *conversation) flush() {
	for {
		out, _ := c.s.flush(c.st)
		for _, m := range out {
			t := letter(m.GetTypeUrl())
			c.open[t] = append(c.open[t], m.GetNonce())
			fmt.Fprintf(&c.response, "\t%s:", t)
			if len(m.GetResources())+len(m.GetRemovedResources()) > 20 {
				fmt.Fprintf(&c.response, " %d resources, %d removed", len(m.GetResources()), len(m.GetRemovedResources()))
			} else {
				for _, r := range m.GetResources() {
					fmt.Fprintf(&c.response, " %s=%s", r.GetName(), r.GetVersion())
				}
				for _, name := range m.GetRemovedResources() {
					fmt.Fprintf(&c.response, " -%s", name)
				}
			}
			fmt.Fprintln(&c.response)
		}
		if len(out) == 0 {
			return
		}
	}
}

func (c *conversation) status() {
	st := c.s.Status()
	fmt.Fprintf(&c.response, "\tsettled %v, listeners %v, pending %d, warming %v\n", st.Settled, st.ListenersAcked, st.Pending, st.Warming)
	for _, r := range st.Refused {
		fmt.Fprintf(&c.response, "\trefused %s:%s=%s for %q, good %q, held", letter(string(r.Key.Type)), r.Key.Name, r.Version, r.Text, r.Good)
		for _, k := range r.Held {
			fmt.Fprintf(&c.response, " %s:%s", letter(string(k.Type)), k.Name)
		}
		if !r.Retry.IsZero() {
			fmt.Fprintf(&c.response, ", again in %v", time.Until(r.Retry))
		}
		fmt.Fprintln(&c.response)
	}
}

// resources reads c:name=version(e:one,s:two). name*1000 are so many, and a version
// may be large: v#600000 has a body of so many bytes.
func (c *conversation) resources(words []string) []*xds.Resource {
	var all []*xds.Resource
	for _, w := range words {
		if strings.HasPrefix(w, "~") {
			continue
		}
		word, needs, _ := strings.Cut(strings.TrimSuffix(w, ")"), "(")
		name, version, _ := strings.Cut(word, "=")
		t, name, _ := strings.Cut(name, ":")
		name, many, _ := strings.Cut(name, "*")
		version, size, _ := strings.Cut(version, "#")
		r := xds.Resource{Key: xds.Key{Type: xds.Type(url(t)), Name: name}, Version: version, Body: []byte(name + version), About: xds.About{Service: name}}
		if alone(r.Type) {
			r.Body = saying(r.Type, name, version)
		}
		if strings.HasPrefix(name, "shared") {
			r.About = xds.About{}
		}
		for need := range strings.SplitSeq(needs, ",") {
			if t, name, ok := strings.Cut(need, ":"); ok {
				r.Needs = append(r.Needs, xds.Key{Type: xds.Type(url(t)), Name: name})
			}
		}
		n := 0
		if fmt.Sscan(size, &n); n > 0 {
			r.Body = make([]byte, n)
		}
		if n = 0; many == "" {
			all = append(all, &r)
		}
		for fmt.Sscan(many, &n); n > 0; n-- {
			one := r
			one.Name = fmt.Sprintf("%s%05d", name, n)
			all = append(all, &one)
		}
	}
	return all
}

// spared are the keys of ~type:name.
func spared(words []string) []xds.Key {
	var keys []xds.Key
	for _, w := range words {
		if key, ok := strings.CutPrefix(w, "~"); ok {
			t, name, _ := strings.Cut(key, ":")
			keys = append(keys, xds.Key{Type: xds.Type(url(t)), Name: name})
		}
	}
	return keys
}

const letters = "sceLrx"

// url is the type of a letter, and what is longer is taken as it is.
func url(letter string) string {
	if letter == "l" {
		letter = "L"
	}
	if i := strings.Index(letters, letter); i >= 0 && len(letter) == 1 {
		return string(xds.Types()[i])
	}
	return strings.Trim(letter, `"`)
}

func letter(url string) string {
	if i := slices.Index(xds.Types(), xds.Type(url)); i >= 0 {
		return strings.ToLower(letters[i : i+1])
	}
	return url
}
