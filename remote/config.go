package remote

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// configTimeout bounds `ssh -G`, which may run Match exec lines.
const configTimeout = 5 * time.Second

// resolved fills what the target leaves open from OpenSSH's configuration,
// which `ssh -G` resolves for the host's name; what the target says wins.
// Without OpenSSH, or with NoConfig, OpenSSH's defaults stand.
func (t Target) resolved(ctx context.Context) (Target, error) {
	if !t.NoConfig {
		if c, err := askConfig(ctx, t.Name); err == nil {
			t = t.withConfig(c)
		} else if ctx.Err() != nil {
			return t, context.Cause(ctx)
		}
	}
	if t.Address == "" {
		t.Address = t.Name
	}
	if t.Port == 0 {
		t.Port = 22
	}
	if t.User == "" {
		t.User = os.Getenv("USER")
	}
	if len(t.KeyFiles) == 0 && !t.NoConfig {
		t.KeyFiles = existing("~/.ssh/id_ed25519", "~/.ssh/id_ed25519_sk", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
	}
	return t, nil
}

func (t Target) withConfig(c config) Target {
	if t.Address == "" {
		t.Address = c.hostName
	}
	if t.Port == 0 {
		t.Port = c.port
	}
	if t.User == "" {
		t.User = c.user
	}
	if len(t.KeyFiles) == 0 {
		t.KeyFiles = existing(c.identities...)
	}
	if t.Jump == "" {
		t.Jump = c.jump
	}
	return t
}

// config is what nixmesh honours of ~/.ssh/config.
type config struct {
	hostName   string
	user       string
	port       int
	jump       string
	identities []string
	knownHosts []string
}

// askConfig runs `ssh -G`, which prints one keyword and value per line.
func askConfig(ctx context.Context, name string) (config, error) {
	if name == "" || strings.HasPrefix(name, "-") {
		return config{}, fmt.Errorf("%q is no host name", name)
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		return config{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, configTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, ssh, "-G", name).Output()
	if err != nil {
		return config{}, fmt.Errorf("run ssh -G %s: %w", name, err)
	}
	return parseConfig(out), nil
}

func parseConfig(out []byte) config {
	var c config
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		keyword, value, _ := strings.Cut(lines.Text(), " ")
		switch strings.ToLower(keyword) {
		case "hostname":
			c.hostName = value
		case "user":
			c.user = value
		case "port":
			c.port, _ = strconv.Atoi(value)
		case "proxyjump":
			if value != "none" {
				c.jump = value
			}
		case "identityfile":
			c.identities = append(c.identities, value)
		case "userknownhostsfile", "globalknownhostsfile":
			c.knownHosts = append(c.knownHosts, strings.Fields(value)...)
		}
	}
	return c
}

// existing keeps the key files that are there: a default that is not is no
// mistake of anybody.
func existing(files ...string) []string {
	var out []string
	for _, f := range files {
		f = expandHome(f)
		if _, err := os.Stat(f); err == nil {
			out = append(out, f)
		} else if _, err := os.Stat(f + ".pub"); err == nil {
			out = append(out, f)
		}
	}
	return out
}

// defaultKnownHosts are OpenSSH's files.
func defaultKnownHosts() []string {
	files := []string{"/etc/ssh/ssh_known_hosts"}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".ssh", "known_hosts"))
	}
	return files
}
