package controlplane

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// trying leaves a mark on disk while this agent takes something that may end it,
// a document or one of its own files, and for some seconds after. At the next
// start the mark tells what it was. What the agent failed at while it was taken
// is set aside at once; a failure in the seconds after, in some goroutine, may be
// something else's, and counts the second time. Where the process only ended,
// perhaps by a person or for want of memory, it takes a third time. A mark of an
// earlier boot says nothing, since then it was the machine that ended, so nobody
// waits for the disk to have it; one of another version of nixmesh tells of that
// version's flaws.
type trying struct {
	files *files
	now   tryMark // boot and version

	mu     sync.Mutex // guards what follows
	marks  []tryMark  // as they are on disk
	deaths map[string]int
}

type tryMark struct {
	What    string `json:"what"` // "document", or the name of a file
	Hash    string `json:"hash"` // of the content
	Boot    string `json:"boot"`
	Version string `json:"version"` // of nixmesh
	Settled bool   `json:"settled"` // it was taken, and acts
	Deaths  int    `json:"deaths"`  // earlier ones

	acts time.Time // since when
}

// whatDocument is the What of a document, wherever it comes from.
const whatDocument = "document"

// maxDeaths is how often the process may end without a word.
const maxDeaths = 3

const maxMarks = 8 << 10 // bytes

// settleTime is how long something acts before it is trusted: what did not end
// the agent by then will not.
const settleTime = 10 * time.Second

// openTrying reads the marks of the last run, which failed or not. The culprits
// are what has to be set aside.
func openTrying(f *files, now tryMark, failed bool) (t *trying, culprits []tryMark) {
	t = &trying{files: f, now: now, deaths: map[string]int{}}
	if info, err := os.Stat(filepath.Join(f.dir, fileTrying)); err == nil && info.Size() == 0 {
		f.remove(fileTrying) // a power cut: no mark would count
		return t, nil
	}
	content := f.read(fileTrying, maxMarks)
	if content == nil {
		return t, nil
	}
	f.remove(fileTrying)
	var marks []tryMark
	if err := json.Unmarshal(content, &marks); err != nil {
		f.logger.Warn("marks of the last run not understood", "err", err)
		return t, nil
	}
	for _, m := range marks {
		deaths := m.Deaths + 1
		switch {
		case m.Boot != now.Boot || m.Version != now.Version:
		case failed && (!m.Settled || deaths > 1), deaths >= maxDeaths:
			culprits = append(culprits, m)
		default:
			t.deaths[m.Hash] = deaths
		}
	}
	return t, culprits
}

// begin marks what is about to be taken.
func (t *trying) begin(what, hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(what)
	t.marks = append(t.marks, tryMark{What: what, Hash: hash, Boot: t.now.Boot, Version: t.now.Version, Deaths: t.deaths[hash]})
	t.write()
}

// taken says that it was taken. Where it acts from now on, the mark stays for a
// while.
func (t *trying) taken(what string, acts bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.marks {
		if m := &t.marks[i]; m.What == what && acts {
			m.Settled, m.acts = true, time.Now()
		}
	}
	if !acts {
		t.drop(what)
	}
	t.write()
}

// settle takes away the marks of what has acted for a while.
func (t *trying) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.marks)
	t.marks = slices.DeleteFunc(t.marks, func(m tryMark) bool { return m.Settled && time.Since(m.acts) >= settleTime })
	if len(t.marks) != before {
		t.write()
	}
}

// done says that this agent ends as it should.
func (t *trying) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks = nil
	t.write()
}

func (t *trying) drop(what string) {
	t.marks = slices.DeleteFunc(t.marks, func(m tryMark) bool { return m.What == what })
}

func (t *trying) write() {
	if len(t.marks) == 0 {
		t.files.remove(fileTrying)
		return
	}
	content, err := json.Marshal(t.marks)
	if err != nil {
		panic(fmt.Sprintf("encode marks: %v", err)) // texts and numbers always can be
	}
	t.files.jot(fileTrying, content)
}
