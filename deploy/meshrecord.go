package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/nixmesh/nixmesh/mesh"
)

// ReleaseMesh is the mesh of a release: the configuration in force when it has
// ended well, and what is in force until then. Their contents are kept by hash:
// by the agents that acted on them, and in the copy here.
type ReleaseMesh struct {
	Version int64  `json:"version"` // of the document
	Hash    string `json:"hash"`    // of the document
	Config  string `json:"config"`  // of the configuration in it

	// During is the configuration that is in force while hosts are behind, ""
	// where it is the same. Kept names what it still has and Waits what it holds
	// back, against what the spec says; long lists are cut, and counted in full.
	During  string   `json:"during,omitempty"`
	Kept    []string `json:"kept,omitempty"`
	Waits   []string `json:"waits,omitempty"`
	Dropped int      `json:"dropped,omitempty"` // names that Kept and Waits have no room for
	// Behind are hosts of the spec that the release does not bring up to it.
	Behind []string `json:"behind,omitempty"`
}

// keptShown bounds the lists of a ReleaseMesh: hosts store the record.
const keptShown = 50

// cut bounds a list and counts what is left out.
func (r *ReleaseMesh) cut(names []string) []string {
	if len(names) > keptShown {
		r.Dropped += len(names) - keptShown
		names = names[:keptShown]
	}
	return names
}

// mesh is the newest release that says which configuration is in force, nil
// where none does.
func (h *History) mesh() *Stored {
	for _, s := range slices.Backward(h.stored) {
		if s.Release.Mesh != nil {
			return s
		}
	}
	return nil
}

// recorded says whether the newest release vouches for a document, whoever
// signed that: for its contents, and for its number.
func (h *History) recorded(doc *mesh.Document) bool {
	s := h.mesh()
	if s == nil || doc.Version > s.Release.Mesh.Version {
		return false
	}
	config := doc.Config.Hash()
	return config == s.Release.Mesh.Config || config == s.Release.Mesh.During
}

// moduleOf is the hash of the compiled host that a toplevel was built from, as
// the newest release which names that toplevel for the host says; "" where none
// does.
func (h *History) moduleOf(host, toplevel string) string {
	for _, s := range slices.Backward(h.stored) {
		if r := s.Release.Hosts[host]; r.Toplevel == toplevel && r.Module != "" {
			return r.Module
		}
	}
	return ""
}

// meshFile is where a configuration is kept.
func (l LocalLedger) meshFile(hash string) string { return filepath.Join(l.Dir, "mesh", hash+".json") }

// WriteMesh keeps a configuration by its hash, for a release that goes back to
// it.
func (l LocalLedger) WriteMesh(c *mesh.Config) error {
	if l.Dir == "" {
		return nil
	}
	name := l.meshFile(c.Hash())
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("keep mesh configuration: %w", err)
	}
	if err := writeFile(name, c.Canonical()); err != nil {
		return fmt.Errorf("keep mesh configuration: %w", err)
	}
	return nil
}

// ReadMesh is the configuration of a hash.
func (l LocalLedger) ReadMesh(hash string) (*mesh.Config, error) {
	if l.Dir == "" {
		return nil, fmt.Errorf("no configuration %.12s here", hash)
	}
	text, err := os.ReadFile(l.meshFile(filepath.Base(hash)))
	if err != nil {
		return nil, fmt.Errorf("read kept mesh configuration: %w", err)
	}
	if got := mesh.HashOf(text); got != hash {
		return nil, fmt.Errorf("read kept mesh configuration %.12s: it hashes to %.12s", hash, got)
	}
	return mesh.Parse(text)
}
