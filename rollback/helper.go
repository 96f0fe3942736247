package rollback

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// helper is one call of the program: its surroundings and the journal.
type helper struct {
	Env
	journals *journals
	bootID   string
}

func newHelper(env Env) (*helper, error) {
	b, err := env.Files.ReadFile(bootIDFile)
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	id := strings.TrimSpace(string(b))
	return &helper{Env: env, bootID: id,
		journals: &journals{files: env.Files, clock: env.Clock, bootID: id}}, nil
}

// note writes one line for the run's log (stderr of our units) or the
// deployer's eyes (stderr of a verb).
func (h *helper) note(format string, args ...any) {
	fmt.Fprintf(h.Stderr, "nixmesh: "+format+"\n", args...)
}

// current is the toplevel that runs, "" where the link is not there.
func (h *helper) current() string { return h.link(currentLink) }

func (h *helper) link(name string) string {
	target, err := h.Files.Readlink(name)
	if err != nil {
		return ""
	}
	return target
}

var generationLink = regexp.MustCompile(`^system-([0-9]+)-link$`)

// profile is the toplevel that the system profile names, and its generation
// number; "" and 0 where there is no profile.
func (h *helper) profile() (toplevel string, generation int) {
	target := h.link(systemLink)
	m := generationLink.FindStringSubmatch(path.Base(target))
	if m == nil {
		return target, 0
	}
	generation, _ = strconv.Atoi(m[1])
	return h.link(profilesDir + "/" + path.Base(target)), generation
}

// facts reads host.json of a toplevel; fs.ErrNotExist for a system without
// nixmesh.
func (h *helper) facts(toplevel string) (*hostfacts.Facts, error) {
	if toplevel == "" {
		return nil, fs.ErrNotExist
	}
	b, err := h.Files.ReadFile(toplevel + hostfacts.Path)
	if err != nil {
		return nil, fmt.Errorf("read host facts: %w", err)
	}
	f := &hostfacts.Facts{}
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("decode %s%s: %w", toplevel, hostfacts.Path, err)
	}
	return f, nil
}

// toolDirs is where programs are looked for: first in what the run has rooted,
// which no garbage collection and no half-finished switch takes away.
func (h *helper) toolDirs(toplevels ...string) []string {
	var dirs []string
	for _, t := range append(toplevels, currentLink) {
		if t != "" {
			dirs = append(dirs, t+"/sw/bin", t+"/systemd/bin")
		}
	}
	return append(dirs, profilesDir+"/default/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
}

// tool finds a program by name.
func (h *helper) tool(name string, toplevels ...string) (string, error) {
	for _, d := range h.toolDirs(toplevels...) {
		if st, err := h.Files.Stat(d + "/" + name); err == nil && st.Executable && !st.Dir {
			return d + "/" + name, nil
		}
	}
	return "", fmt.Errorf("find %s: neither in the system nor in %s", name, profilesDir)
}

// environment is what programs started by a verb get: our own is empty.
func (h *helper) environment(toplevels ...string) []string {
	return []string{"PATH=" + strings.Join(h.toolDirs(toplevels...), ":"), "HOME=/root", "LANG=C.UTF-8"}
}

// runTool runs a program by name and returns its trimmed output; a status
// other than 0 is an error with what it printed.
func (h *helper) runTool(ctx context.Context, toplevels []string, name string, args ...string) (string, error) {
	p, err := h.tool(name, toplevels...)
	if err != nil {
		return "", err
	}
	res, err := h.Run(ctx, Command{Path: p, Args: args, Env: h.environment(toplevels...)})
	if err != nil {
		return "", err
	}
	out := strings.TrimSpace(string(res.Out))
	if res.Code != 0 {
		return "", fmt.Errorf("%s %s: status %d: %s", name, strings.Join(args, " "), res.Code, lastLine(out))
	}
	return out, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
