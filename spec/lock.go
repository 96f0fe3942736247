package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// LockFile stands beside nixmesh.hcl, in version control.
const LockFile = "nixmesh.lock"

const lockHeader = "nixmesh-lock 1"

// Lock is nixmesh.lock: numbers that never change once they are given, and host
// keys. Lines of kinds that this release does not use are kept as they are.
type Lock struct {
	entries []lockEntry
	keys    map[string]string // host -> "ssh-ed25519 BASE64"
	other   []string          // whole lines
}

// lockEntry is one number: "port web 20002", or "gone port billing 20003".
type lockEntry struct {
	kind   string // port, uid
	name   string
	number int
	gone   bool
}

func (e lockEntry) line() string {
	line := fmt.Sprintf("%s %s %d", e.kind, e.name, e.number)
	if e.gone {
		line = "gone " + line
	}
	return line
}

// ReadLock reads the lock of a fleet's folder; a missing one is empty. The
// diagnostics are NM0702 and NM0703, and then the lock is nil.
func ReadLock(dir string) (*Lock, Diagnostics) {
	text, err := ReadLockText(dir)
	if err != nil {
		s := &sink{}
		s.add(problem{code: "NM0703", rng: fileStart(LockFile), detail: fmt.Sprintf("It cannot be read: %v.", errors.Unwrap(err))})
		return nil, s.found
	}
	return parseLock(text)
}

// ReadLockText is the lock's text as it stands, empty when there is none.
func ReadLockText(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, LockFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	return text, nil
}

func parseLock(text []byte) (*Lock, Diagnostics) {
	l := &Lock{keys: map[string]string{}}
	if len(bytes.TrimSpace(text)) == 0 {
		return l, nil
	}
	p := &lockParser{sink: &sink{}, lock: l, src: text, numbers: map[string]lockPlace{}, names: map[string]lockPlace{}}
	p.parse()
	if len(p.found) > 0 {
		return nil, p.found
	}
	return l, nil
}

// lockPlace is an earlier line.
type lockPlace struct {
	line int
	text string
}

type lockParser struct {
	*sink
	lock    *Lock
	src     []byte
	numbers map[string]lockPlace // "port 20002"
	names   map[string]lockPlace // "port web"
}

func (p *lockParser) parse() {
	offset := 0
	for i, line := range strings.SplitAfter(string(p.src), "\n") {
		rng := lineStart(LockFile, p.src, offset)
		offset += len(line)
		line = strings.TrimRight(line, "\r\n")
		switch {
		case i == 0 && line == lockHeader:
		case i == 0 && strings.HasPrefix(line, "nixmesh-lock "):
			p.bad(rng, "This is a newer format of the lock.", "use the nixmesh that wrote it")
			return
		case i == 0:
			p.bad(rng, fmt.Sprintf("The first line is not %q.", lockHeader), "take the file from version control")
			return
		case line == "":
		case strings.HasPrefix(line, "<<<<<<<") || strings.HasPrefix(line, "=======") || strings.HasPrefix(line, ">>>>>>>"):
			p.bad(rng, "A merge has left its markers.", "keep the lines of both sides, without the markers")
		default:
			p.entry(i+1, line, rng)
		}
	}
}

func (p *lockParser) bad(rng hcl.Range, detail, hint string) {
	p.add(problem{code: "NM0703", rng: rng, detail: detail, hint: hint})
}

func (p *lockParser) entry(number int, line string, rng hcl.Range) {
	fields := strings.Split(line, " ")
	gone := fields[0] == "gone"
	if gone {
		fields = fields[1:]
	}
	if slices.Contains(fields, "") || len(fields) < 2 {
		p.bad(rng, "The line is no entry.", "take the line from version control")
		return
	}
	switch kind := fields[0]; {
	case kind == "port" || kind == "uid":
		n, err := strconv.Atoi(fields[len(fields)-1])
		from, to := lockRange(kind)
		if len(fields) != 3 || err != nil || strconv.Itoa(n) != fields[2] || n < from || n > to {
			p.bad(rng, fmt.Sprintf("The line is not %q with a number from %d to %d.", kind+" NAME NUMBER", from, to), "take the line from version control")
			return
		}
		p.numbered(number, line, rng, lockEntry{kind: kind, name: fields[1], number: n, gone: gone})
	case kind == "hostkey" && !gone:
		if len(fields) != 4 || HostKeyError(strings.Join(fields[2:], " ")) != nil {
			p.bad(rng, "The line is not \"hostkey HOST ssh-ed25519 BASE64\".", "nixmesh host trust writes it")
			return
		}
		if p.twice(number, line, rng, "hostkey "+fields[1]) {
			return
		}
		p.lock.keys[fields[1]] = strings.Join(fields[2:], " ")
	case slices.Contains([]string{"addr", "edge", "authority", "ca"}, kind):
		p.lock.other = append(p.lock.other, line)
	default:
		p.bad(rng, fmt.Sprintf("There is no kind %q of entry.", kind), didYouMean(kind, []string{"addr", "authority", "ca", "edge", "gone", "hostkey", "port", "uid"}, "the kinds are"))
	}
}

func (p *lockParser) numbered(number int, line string, rng hcl.Range, e lockEntry) {
	if p.twice(number, line, rng, e.kind+" "+e.name) {
		return
	}
	key := fmt.Sprintf("%s %d", e.kind, e.number)
	if other, used := p.numbers[key]; used {
		renumber := line
		if e.gone {
			renumber = other.text
		}
		kindName, _, _ := strings.Cut(strings.TrimPrefix(renumber, "gone "), fmt.Sprintf(" %d", e.number))
		p.add(problem{code: "NM0702", rng: rng, detail: fmt.Sprintf("Line %d, %q, has the number %d, too.", other.line, other.text, e.number),
			hint: fmt.Sprintf("nixmesh lock --renumber %q", kindName)})
	}
	p.numbers[key] = lockPlace{number, line}
	p.lock.entries = append(p.lock.entries, e)
}

func (p *lockParser) twice(number int, line string, rng hcl.Range, name string) bool {
	other, used := p.names[name]
	if used {
		p.bad(rng, fmt.Sprintf("Line %d, %q, is of the same name.", other.line, other.text), "keep the older one of the two")
	}
	p.names[name] = lockPlace{number, line}
	return used
}

// lockRange are the first and the last number of a kind.
func lockRange(kind string) (from, to int) {
	if kind == "uid" {
		return 30000, 39997 // 39998 is nixmesh-agent, 39999 nixmesh-envoy
	}
	return 20000, 29999
}

// Bytes is the file's text: the header, then all entries, sorted.
func (l *Lock) Bytes() []byte {
	lines := slices.Clone(l.other)
	for _, e := range l.entries {
		lines = append(lines, e.line())
	}
	for host, key := range l.keys {
		lines = append(lines, "hostkey "+host+" "+key)
	}
	slices.Sort(lines)
	return []byte(lockHeader + "\n" + strings.Join(append(lines, ""), "\n"))
}

// Write replaces the lock of a fleet's folder, whole or not at all.
func (l *Lock) Write(dir string) error {
	return replaceFile(filepath.Join(dir, LockFile), l.Bytes(), 0o644)
}

// number finds an entry that is in use, 0 = none.
func (l *Lock) number(kind, name string) int {
	for _, e := range l.entries {
		if e.kind == kind && e.name == name && !e.gone {
			return e.number
		}
	}
	return 0
}

// Port is the allocated port of a service's listen ("" = its only one), 0 = none.
func (l *Lock) Port(service, listen string) int { return l.number("port", portName(service, listen)) }

// UID is the allocated uid of a user, 0 = none.
func (l *Lock) UID(user string) int { return l.number("uid", user) }

// HostKey is the trusted key of a host, "ssh-ed25519 BASE64", "" = none.
func (l *Lock) HostKey(host string) string { return l.keys[host] }

// SetHostKey trusts a key; "" forgets it.
func (l *Lock) SetHostKey(host, key string) {
	if key == "" {
		delete(l.keys, host)
		return
	}
	fields := strings.Fields(key)
	l.keys[host] = strings.Join(fields[:min(2, len(fields))], " ")
}

func portName(service, listen string) string {
	if listen == "" {
		return service
	}
	return service + ":" + listen
}
