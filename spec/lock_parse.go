package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// lockPlace is where an entry stands.
type lockPlace struct {
	text string
	rng  hcl.Range
}

// placedEntry is a number with the line that gave it.
type placedEntry struct {
	lockEntry
	lockPlace
}

// lockParser reads the lines one by one; what they say together is conflicts'.
type lockParser struct {
	*sink
	src         []byte
	entries     []placedEntry
	keys        map[string]string
	keyPlaces   map[string]lockPlace
	authorities map[string]lockPlace
	ca          string
	caPlace     lockPlace
	name        *regexp.Regexp // of hosts, services and users, with what the lock adds to them
	unmerged    bool           // markers of a merge were found
}

// parseLockLines reads a lock's text, nil for that of a fleet that has none yet.
// Its sink holds NM0703 for lines that are no entries, and for a file without any:
// all numbers would be given anew, and ports and uids would move.
func parseLockLines(text []byte) *lockParser {
	p := &lockParser{sink: &sink{}, src: text, keys: map[string]string{}, keyPlaces: map[string]lockPlace{}, authorities: map[string]lockPlace{},
		name: regexp.MustCompile(`^[a-z_][a-z0-9_-]*(@[a-z][a-z0-9-]*)?(:[a-z][a-z0-9-]*)?(/[1-9][0-9]*)?$`)}
	if text == nil {
		return p
	}
	if len(bytes.TrimSpace(text)) == 0 {
		p.bad(fileStart(LockFile), "The file is empty.", "take it from version control, or delete it to allocate anew: ports and uids of hosts that run may then change")
		return p
	}
	offset := 0
	for i, line := range strings.SplitAfter(string(text), "\n") {
		start := hcl.Pos{Line: i + 1, Column: 1, Byte: offset}
		offset += len(line)
		line = strings.TrimRight(line, "\r\n")
		end := hcl.Pos{Line: i + 1, Column: 1 + utf8.RuneCountInString(line), Byte: start.Byte + len(line)}
		rng := hcl.Range{Filename: LockFile, Start: start, End: end}
		switch {
		case i == 0 && line == lockHeader:
		case i == 0 && strings.HasPrefix(line, "nixmesh-lock "):
			p.bad(rng, "This is a newer format of the lock.", "use the nixmesh that wrote it")
			return p
		case i == 0 && !mergeMarker(line):
			p.bad(rng, fmt.Sprintf("The first line is not %q.", lockHeader), "take the file from version control")
			return p
		case line == "" || i > 0 && line == lockHeader && p.unmerged:
		case mergeMarker(line):
			if !p.unmerged {
				p.bad(rng, "A merge has left its markers.",
					`keep the lines of both sides, without the markers; "nixmesh.lock merge=union" in .gitattributes does it next time`)
			}
			p.unmerged = true
		default:
			p.line(lockPlace{text: line, rng: rng})
		}
	}
	return p
}

func mergeMarker(line string) bool {
	for _, marker := range []string{"<<<<<<<", "|||||||", "=======", ">>>>>>>"} {
		if strings.HasPrefix(line, marker) {
			return true
		}
	}
	return false
}

func (p *lockParser) bad(rng hcl.Range, detail, hint string) {
	p.add(problem{code: "NM0703", rng: rng, detail: detail, hint: hint})
}

// line reads one entry.
func (p *lockParser) line(at lockPlace) {
	fields := strings.Split(at.text, " ")
	gone := fields[0] == "gone"
	if gone {
		fields = fields[1:]
	}
	if slices.Contains(fields, "") || len(fields) < 2 {
		p.bad(at.rng, "The line is no entry.", "take the line from version control")
		return
	}
	kind, rest := fields[0], fields[1:]
	switch {
	case numbered(kind):
		p.number(at, kind, rest, gone)
	case kind == "hostkey" && !gone:
		p.hostKey(at, rest)
	case kind == "authority" && !gone:
		if len(rest) != 1 || !isName(rest[0]) {
			p.bad(at.rng, `The line is not "authority HOST".`, "take the line from version control")
			return
		}
		p.authorities[rest[0]] = at
	case kind == "ca" && !gone:
		p.root(at, rest)
	default:
		p.bad(at.rng, fmt.Sprintf("There is no kind %q of entry.", kind),
			didYouMean(kind, []string{kindAddr, "authority", "ca", kindEdge, "gone", "hostkey", kindPort, kindUID}, "the kinds are"))
	}
}

func (p *lockParser) number(at lockPlace, kind string, fields []string, gone bool) {
	names, text := fields[:len(fields)-1], fields[len(fields)-1]
	n, ok := parseNumber(kind, text)
	want := 1
	if kind == kindEdge {
		want = 2
	}
	if !ok || len(names) != want || slices.ContainsFunc(names, func(name string) bool { return !p.name.MatchString(name) }) {
		p.bad(at.rng, fmt.Sprintf("The line is not %s.", numberForm(kind)), "take the line from version control")
		return
	}
	p.entries = append(p.entries, placedEntry{lockEntry{lockName{kind, strings.Join(names, " ")}, n, gone}, at})
}

func (p *lockParser) hostKey(at lockPlace, fields []string) {
	if len(fields) != 3 || !isName(fields[0]) || HostKeyError(strings.Join(fields[1:], " ")) != nil {
		p.bad(at.rng, `The line is not "hostkey HOST ssh-ed25519 BASE64".`, "delete the line; nixmesh host trust writes it anew")
		return
	}
	host, key := fields[0], strings.Join(fields[1:], " ")
	if other, twice := p.keys[host]; twice && other != key {
		p.bad(at.rng, fmt.Sprintf("Line %d holds another key of %s.", p.keyPlaces[host].rng.Start.Line, host), "delete both lines, then: nixmesh host trust "+host)
		return
	}
	p.keys[host], p.keyPlaces[host] = key, at
}

func (p *lockParser) root(at lockPlace, fields []string) {
	ca := strings.Join(fields, " ")
	switch {
	case len(fields) != 2 || !isName(fields[0]) || !isFingerprint(fields[1]):
		p.bad(at.rng, `The line is not "ca FLEET SHA256:…".`, "take the line from version control")
	case p.ca != "" && p.ca != ca:
		p.bad(at.rng, fmt.Sprintf("Line %d, %q, names another root; a fleet has one.", p.caPlace.rng.Start.Line, p.caPlace.text), "keep the line of the root that the hosts run with")
	default:
		p.ca, p.caPlace = ca, at
	}
}

// isFingerprint says whether a text is a SHA-256 as OpenSSH writes it:
// "SHA256:" and 43 letters of base64 without padding.
func isFingerprint(text string) bool {
	encoded, ok := strings.CutPrefix(text, "SHA256:")
	sum, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	return ok && err == nil && len(sum) == sha256.Size
}

// lock is what was read, without the places of its numbers.
func (p *lockParser) lock() *Lock {
	l := &Lock{keys: p.keys, authorities: p.authorities, ca: p.ca}
	for _, e := range p.entries {
		if i, twice := l.index[e.lockName]; twice {
			l.entries[i].gone = l.entries[i].gone && e.gone
			continue
		}
		l.add(e.lockEntry)
	}
	l.untidy = !l.tidy(p.src)
	return l
}
