package controlplane

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// ErrPoison is input that made this agent fail once. It is not looked at again.
var ErrPoison = errors.New("this agent failed at the same input before")

// maxPoison is how many inputs are remembered: the latest.
const maxPoison = 256

// poison remembers by hash what made this agent fail. Another version of nixmesh
// may have no such flaw, and begins with nothing.
type poison struct {
	files   *files
	version string // of nixmesh
	logger  *slog.Logger

	mu     sync.Mutex // guards what follows
	hashes []string   // hex, the oldest first
	panics uint64     // survived, since the start
}

func loadPoison(f *files, version string, logger *slog.Logger) *poison {
	p := &poison{files: f, version: line(version, maxAgent), logger: logger}
	content := f.read(filePoison, maxAgent+1+maxPoison*(2*sha256.Size+1))
	of, hashes, _ := strings.Cut(string(content), "\n")
	if content == nil || of != p.version {
		return p
	}
	for line := range strings.Lines(hashes) {
		hash := strings.TrimSuffix(line, "\n")
		if b, err := hex.DecodeString(hash); err != nil || len(b) != sha256.Size {
			f.setAside(filePoison, fmt.Errorf("%.80q is no hash", hash))
			p.hashes = nil
			return p
		}
		p.hashes = append(p.hashes, hash)
	}
	return p
}

func hashOf(input []byte) string {
	sum := sha256.Sum256(input)
	return hex.EncodeToString(sum[:])
}

// add remembers an input.
func (p *poison) add(hash string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.hashes, hash) {
		return
	}
	p.hashes = append(p.hashes, hash)
	if len(p.hashes) > maxPoison {
		p.hashes = slices.Delete(p.hashes, 0, len(p.hashes)-maxPoison)
	}
	p.files.save(filePoison, []byte(p.version+"\n"+strings.Join(p.hashes, "\n")+"\n"))
}

func (p *poison) has(hash string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.hashes, hash)
}

// none says that nothing was ever remembered, so that nobody has to hash.
func (p *poison) none() bool {
	return p.count() == 0
}

func (p *poison) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.hashes)
}

func (p *poison) survived() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.panics
}

// guard works on an input that came from elsewhere. When that panics the input is
// remembered, and from then on refused: what is the text that was told apart by,
// for the log. input may be called once more after do.
func (p *poison) guard(what string, input func() []byte, do func() error) (err error) {
	if !p.none() && p.has(hashOf(input())) {
		return fmt.Errorf("%s: %w", what, ErrPoison)
	}
	defer func() {
		if r := recover(); r != nil {
			p.mu.Lock()
			p.panics++
			p.mu.Unlock()
			hash := hashOf(input())
			stack := bytes.Join(bytes.SplitN(debug.Stack(), []byte("\n"), 40), []byte("\n"))
			p.logger.Error("survived a failure of this agent", "what", what, "panic", fmt.Sprint(r), "input", hash, "stack", string(stack))
			p.add(hash)
			err = fmt.Errorf("%s: %w", what, ErrPoison)
		}
	}()
	return do()
}
