package nix

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// cached is what one content key led to: .nixmesh/cache/<key>.json.
type cached struct {
	Host     string `json:"host"`
	Toplevel string `json:"toplevel"`
	Drv      string `json:"drv"`
}

func (w *Workspace) cacheFile(key string) string { return filepath.Join(w.Cache, key+".json") }

// recall reads a cache entry; a missing or damaged one is a miss.
func (w *Workspace) recall(key string) (cached, bool) {
	text, err := os.ReadFile(w.cacheFile(key))
	if err != nil {
		return cached{}, false
	}
	var c cached
	if err := json.Unmarshal(text, &c); err != nil || c.Toplevel == "" || c.Drv == "" {
		return cached{}, false
	}
	return c, true
}

func (w *Workspace) remember(key string, c cached) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("remember toplevel of %s: %w", c.Host, err)
	}
	if err := writeIfDifferent(w.cacheFile(key), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("remember toplevel of %s: %w", c.Host, err)
	}
	return nil
}

// rooted says whether the host's root already keeps this path.
func (w *Workspace) rooted(host, path string) bool {
	target, err := os.Readlink(w.rootLink(host))
	return err == nil && target == path
}

func (w *Workspace) rootLink(host string) string { return filepath.Join(w.rootsDir(), host) }
