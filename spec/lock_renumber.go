package spec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Renumber gives one entry, "KIND NAME", another number. It is the way out of
// NM0702, so it works on a lock that ReadLock refuses for that reason alone; any
// other fault is returned.
func Renumber(dir, kindName string) (*Lock, Diagnostics, error) {
	text, err := ReadLockText(dir)
	if err != nil {
		return nil, nil, err
	}
	l := &Lock{keys: map[string]string{}}
	if len(bytes.TrimSpace(text)) > 0 {
		p := &lockParser{sink: &sink{}, lock: l, src: text, numbers: map[string]lockPlace{}, names: map[string]lockPlace{}}
		p.parse()
		if other := slices.DeleteFunc(p.found, func(d Diagnostic) bool { return d.Code == "NM0702" }); len(other) > 0 {
			return nil, other, nil
		}
	}
	kind, name, _ := strings.Cut(kindName, " ")
	i := slices.IndexFunc(l.entries, func(e lockEntry) bool { return e.kind == kind && e.name == name && !e.gone })
	if i < 0 {
		var known []string
		for _, e := range l.entries {
			if !e.gone {
				known = append(known, e.kind+" "+e.name)
			}
		}
		hint := didYouMean(kindName, known, "there are")
		if hint != "" {
			hint = "; " + hint
		}
		return nil, nil, fmt.Errorf("renumber: the lock has no entry %q%s", kindName, hint)
	}
	n, ok := l.free(kind)
	if !ok {
		return nil, nil, fmt.Errorf("renumber %s: no number is free: nixmesh lock --prune", kindName)
	}
	l.entries[i].number = n
	return l, nil, nil
}
