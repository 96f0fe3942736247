package compile

// NixText is the Nix expression of a free-form value.
func NixText(v any) string {
	p := &printer{}
	nixValue(v).print(p, 0)
	return p.b.String()
}
