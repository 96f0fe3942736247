package controlplane

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/nixmesh/nixmesh/controlplane/ca"
)

// memoryStore is a ca.Store for a host whose disk takes no folder.
type memoryStore struct {
	mu    sync.Mutex // guards what follows
	files map[string][]byte
}

var _ ca.Store = (*memoryStore)(nil)

func (m *memoryStore) Names() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files)), nil
}

func (m *memoryStore) Load(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.files[name]
	if !ok {
		return nil, fmt.Errorf("load %s: %w", name, fs.ErrNotExist)
	}
	return slices.Clone(content), nil
}

func (m *memoryStore) Save(name string, content []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name] = slices.Clone(content)
	return nil
}

func (m *memoryStore) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (m *memoryStore) SetAside(name string) error {
	return m.Remove(name) // it was made by this process, and is of no use to anybody
}
