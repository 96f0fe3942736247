package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// headerChange reads headers to set and to remove. read is for their names.
func (d *decoder) headerChange(b *block, read func(item, string) (string, bool)) HeaderChange {
	c := HeaderChange{}
	members := d.members(b, "set")
	for _, key := range slices.Sorted(maps.Keys(members)) {
		it := members[key]
		name, ok := read(it, key)
		if !ok || !d.ownHeader(it, name) {
			continue
		}
		it = it.atValue()
		text, ok := d.asText(it)
		if ok && strings.ContainsFunc(text, isControl) {
			d.wrong(it, fmt.Sprintf("%q holds a control character.", it.name), "")
			continue
		}
		if c.Set == nil {
			c.Set = map[string]string{}
		}
		c.Set[name] = text
	}
	_, entries := d.texts(b, "remove")
	for _, it := range entries {
		name, ok := read(it, it.value.AsString())
		if _, set := c.Set[name]; ok && set {
			d.add(problem{code: "NM0107", rng: it.rng, block: b.title, detail: fmt.Sprintf("The header %q is set here, too.", name), hint: "keep it in one of set and remove"})
			continue
		}
		if ok && d.ownHeader(it, name) {
			c.Remove = append(c.Remove, name)
		}
	}
	return c
}

// ownHeader refuses headers by which the mesh itself works.
func (d *decoder) ownHeader(it item, name string) bool {
	own := []string{"host", "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "x-forwarded-client-cert"}
	if !slices.Contains(own, name) && !strings.HasPrefix(name, "x-envoy-") {
		return true
	}
	d.wrong(it, fmt.Sprintf("%q cannot be changed: the mesh itself works by it.", name), "")
	return false
}
