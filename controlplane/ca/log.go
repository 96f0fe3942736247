package ca

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Issued is a line of the issue log: one leaf that this authority signed.
type Issued struct {
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`
	Service string    `json:"service"`
	Serial  string    `json:"serial"` // hexadecimal
	Until   time.Time `json:"until"`
	Node    string    `json:"node"` // public node key of the host
	Issuer  string    `json:"issuer"`
}

// IssueLog takes a line for each leaf before it is handed out.
type IssueLog interface {
	Append(line Issued) error
}

// logFile is the file of the log, and logOld the one before.
const (
	logFile = "issues.v1.jsonl"
	logOld  = "issues.v1.old.jsonl"
)

// DefaultLogSize bounds a file of the issue log, in bytes: some 12,000 leaves.
// There are two files, the second one with what came before.
const DefaultLogSize = 4 << 20

// FileLog is an issue log in a folder: JSON lines, appended. Lines are not
// synced one by one, so a power cut may take the last ones.
type FileLog struct {
	dir  string
	most int64

	mu   sync.Mutex // guards what follows
	file *os.File
	size int64
}

var _ IssueLog = (*FileLog)(nil)

// OpenLog opens the log of a folder, whose files have at most some bytes each.
// After an error it is a log that takes a line once the folder lets it.
func OpenLog(dir string, most int64) (*FileLog, error) {
	l := &FileLog{dir: dir, most: most}
	return l, l.open()
}

// Open opens the log where it is not open.
func (l *FileLog) Open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		return nil
	}
	return l.open()
}

// open opens the file that is appended to. mu is held, or nobody else has l.
func (l *FileLog) open() error {
	f, err := os.OpenFile(filepath.Join(l.dir, logFile), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open issue log: %w", err)
	}
	size, err := endLine(f)
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open issue log: %w", err)
	}
	l.file, l.size = f, size
	return nil
}

// endLine ends a last line that was cut off, so that the next one is whole.
func endLine(f *os.File) (size int64, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return info.Size(), nil
	}
	n, err := f.Write([]byte("\n"))
	return info.Size() + int64(n), err
}

// Append writes a line. A full file becomes the old one, and the old one goes.
func (l *FileLog) Append(line Issued) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("write issue log: %w", err)
	}
	text = append(text, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.size > 0 && l.size+int64(len(text)) > l.most {
		if err := l.turn(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(text)
	l.size += int64(n)
	if err != nil {
		// What stands there of the line must not become a part of the next.
		_ = l.file.Truncate(l.size - int64(n))
		l.size -= int64(n)
		return fmt.Errorf("write issue log: %w", err)
	}
	return nil
}

// turn begins a new file. mu is held. It can be tried again.
func (l *FileLog) turn() error {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
		if err := os.Rename(filepath.Join(l.dir, logFile), filepath.Join(l.dir, logOld)); err != nil {
			return fmt.Errorf("turn issue log: %w", err)
		}
	}
	return l.open()
}

// Close closes the log.
func (l *FileLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
