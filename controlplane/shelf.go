package controlplane

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/nixmesh/nixmesh/mesh"
)

// shelfSize is how many documents are kept besides the one in force: what can be
// gone back to, and what peers may ask for.
const shelfSize = 64

// shelf is the folder of documents that were once good. A name tells all that is
// asked of a document, so that nobody has to read them to find one.
type shelf struct{ files *files }

// shelfName is VERSION-HASH-CONFIG.v1.
var shelfName = regexp.MustCompile(`^([1-9][0-9]{0,15})-([0-9a-f]{64})-([0-9a-f]{64})\.v1$`)

type shelved struct {
	name, hash, config string
	version            int64
}

// put keeps a document, and forgets the oldest where there are too many.
func (s *shelf) put(d *inForce, text []byte) {
	name := fmt.Sprintf("%d-%s-%s.v1", d.link.Version, d.link.Hash, d.config)
	s.files.save(filepath.Join(dirDocuments, name), text)
	for _, old := range s.names()[min(shelfSize, len(s.names())):] {
		s.files.remove(filepath.Join(dirDocuments, old.name))
	}
}

// names are the documents on the shelf, the latest version first.
func (s *shelf) names() []shelved {
	entries, err := os.ReadDir(filepath.Join(s.files.dir, dirDocuments))
	if err != nil {
		return nil // openFiles said so
	}
	var list []shelved
	for _, e := range entries {
		m := shelfName.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		version, _ := strconv.ParseInt(m[1], 10, 64) // at most 16 digits
		list = append(list, shelved{name: e.Name(), version: version, hash: m[2], config: m[3]})
	}
	slices.SortFunc(list, func(a, b shelved) int {
		return cmp.Or(cmp.Compare(b.version, a.version), cmp.Compare(a.hash, b.hash))
	})
	return list
}

func (s *shelf) read(d shelved) []byte {
	return s.files.read(filepath.Join(dirDocuments, d.name), mesh.MaxSize)
}

func (s *shelf) setAside(d shelved, why error) {
	s.files.setAside(filepath.Join(dirDocuments, d.name), why)
}

// find reads the first document that fits, nil when there is none. What is on
// disk may be damaged, so its hash is looked at.
func (s *shelf) find(fits func(shelved) bool) []byte {
	for _, d := range s.names() {
		if !fits(d) {
			continue
		}
		text := s.read(d)
		if text == nil {
			continue
		}
		document, err := mesh.ParseDocument(text)
		if err == nil && document.Hash() == d.hash {
			return text
		}
		s.setAside(d, fmt.Errorf("its content is another one: %w", err))
	}
	return nil
}
