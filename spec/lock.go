package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// LockFile stands beside nixmesh.hcl, in version control.
const LockFile = "nixmesh.lock"

const lockHeader = "nixmesh-lock 1"

// Lock is nixmesh.lock: numbers that never change once they are given, host
// keys, and who may issue the mesh's certificates.
type Lock struct {
	entries     []lockEntry
	index       map[lockName]int     // of entries
	keys        map[string]string    // host -> "ssh-ed25519 BASE64"
	authorities map[string]lockPlace // by host
	ca          string               // "NAME SHA256:…", "" before ca init
	untidy      bool                 // the file's text is not the one that Bytes gives
}

// lockName names an entry: kind "edge", name "web api".
type lockName struct{ kind, name string }

func (n lockName) String() string { return n.kind + " " + n.name }

// lockEntry is one number: "port web 20002", or "gone port billing 20003".
type lockEntry struct {
	lockName
	number int
	gone   bool
}

func (e lockEntry) line() string {
	line := e.String() + " " + numberText(e.kind, e.number)
	if e.gone {
		line = "gone " + line
	}
	return line
}

// maxLock bounds the lock, in bytes: a million of its lines.
const maxLock = 64 << 20

// ReadLock reads the lock of a fleet's folder; a missing one is empty. The
// diagnostics are NM0005, NM0702 and NM0703, and then the lock is nil.
func ReadLock(dir string) (*Lock, Diagnostics) {
	text, err := ReadLockText(dir)
	if err != nil {
		p := problem{code: "NM0703", rng: fileStart(LockFile), detail: fmt.Sprintf("It cannot be read: %v.", errors.Unwrap(err)),
			hint: "mend the file's type or permissions, or take it from version control"}
		if errors.Is(err, errOutside) || errors.Is(err, errLoop) {
			p.code, p.detail, p.hint = "NM0005", fmt.Sprintf("%s %v.", LockFile, errors.Unwrap(err)), "take the file from version control, in place of the link"
		}
		s := &sink{}
		s.add(p)
		return nil, s.found
	}
	return parseLock(text)
}

// ReadLockText is the lock's text as it stands, nil when there is none.
func ReadLockText(dir string) ([]byte, error) {
	file, err := filepath.EvalSymlinks(dir)
	if err == nil {
		file, err = insideDir(file, LockFile)
	}
	var text []byte
	if err == nil {
		text, err = readRegular(file, maxLock)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read lock: %w", err)
	}
	return text, nil
}

func parseLock(text []byte) (*Lock, Diagnostics) {
	p := parseLockLines(text)
	p.conflicts()
	if len(p.found) > 0 {
		p.found.sort()
		return nil, p.found
	}
	return p.lock(), nil
}

// Bytes is the file's text: the header, then all entries, sorted.
func (l *Lock) Bytes() []byte {
	lines := make([]string, 0, len(l.entries)+len(l.keys)+len(l.authorities)+2)
	for _, e := range l.entries {
		lines = append(lines, e.line())
	}
	for host, key := range l.keys {
		lines = append(lines, "hostkey "+host+" "+key)
	}
	for host := range l.authorities {
		lines = append(lines, "authority "+host)
	}
	if l.ca != "" {
		lines = append(lines, "ca "+l.ca)
	}
	slices.Sort(lines)
	return []byte(lockHeader + "\n" + strings.Join(append(lines, ""), "\n"))
}

// Write replaces the lock of a fleet's folder, whole or not at all.
func (l *Lock) Write(dir string) error {
	if err := replaceFile(filepath.Join(dir, LockFile), l.Bytes(), 0o644); err != nil {
		return err
	}
	l.untidy = false
	return nil
}

// number finds an entry, 0 = none. One that is gone counts: it is what its name
// gets when it comes back, and what a lab goes by whose overrides need more than
// the spec does.
func (l *Lock) number(kind, name string) int {
	i, known := l.index[lockName{kind, name}]
	if !known {
		return 0
	}
	return l.entries[i].number
}

// add takes an entry whose name is new.
func (l *Lock) add(e lockEntry) {
	if l.index == nil {
		l.index = map[lockName]int{}
	}
	l.index[e.lockName] = len(l.entries)
	l.entries = append(l.entries, e)
}

// Port is the allocated port of one instance's listen, 0 = none. Version is ""
// without versions, listen "" for a nameless one, instance counts from 1.
func (l *Lock) Port(service, version, listen string, instance int) int {
	return l.number(kindPort, portName(service, version, listen, instance))
}

// UID is the allocated uid of a user, 0 = none.
func (l *Lock) UID(user string) int { return l.number(kindUID, user) }

// Addr is the address of a mesh name, "127.64.0.1", "" = none: each service with
// a listen has one, and each external.
func (l *Lock) Addr(name string) string {
	n := l.number(kindAddr, name)
	if n == 0 {
		return ""
	}
	return numberText(kindAddr, n)
}

// Edge is the port where the caller's Envoy takes calls to a listen of the
// upstream, 0 = none. Listen is its name, also where the upstream block leaves
// it out; "" = it has none, or the upstream is an external.
func (l *Lock) Edge(caller, upstream, listen string) int {
	return l.number(kindEdge, edgeName(caller, upstream, listen))
}

// Authorities are the hosts that may issue certificates, sorted; none before
// the mesh's CA was made.
func (l *Lock) Authorities() []string {
	hosts := make([]string, 0, len(l.authorities))
	for host := range l.authorities {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	return hosts
}

// CA is the fingerprint of the CA's root, "SHA256:…", "" before it was made.
func (l *Lock) CA() string {
	_, fingerprint, _ := strings.Cut(l.ca, " ")
	return fingerprint
}

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

// tidy says whether a text is the one that Bytes gives. A missing file is.
func (l *Lock) tidy(text []byte) bool { return len(text) == 0 || bytes.Equal(text, l.Bytes()) }
