package mesh

import "slices"

// Canonicalize brings any JSON text into canonical form. Of members that are
// given twice it keeps the last one.
func Canonicalize(text []byte) ([]byte, error) {
	tree, err := parseTree(text)
	if err != nil {
		return nil, err
	}
	return appendCanonical(nil, tree), nil
}

// Members are the names of what is held, sorted.
func (u Unknown) Members() []string {
	names := make([]string, 0, len(u.members))
	for name := range u.members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
