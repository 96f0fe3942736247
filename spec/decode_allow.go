package spec

// allows decodes what narrows the callers of a service.
func (d *decoder) allows(s *Service, b *block) {
	for _, a := range b.all("allow") {
		s.Allows = append(s.Allows, &Allow{
			Caller:  a.label,
			Place:   a.place(),
			Methods: d.methods(a, "methods"),
			Paths:   d.paths(a, "paths"),
			Headers: d.headerMatches(a),
			Listen:  d.text(a, "listen"),
			Shadow:  d.boolean(a, "shadow"),
			Limit:   d.limit(a),
		})
	}
}
