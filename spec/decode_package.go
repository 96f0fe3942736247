package spec

import (
	"fmt"
	"strings"
)

// pkg reads "ATTR" or "INPUT#ATTR".
func (d *decoder) pkg(f *Fleet, b *block) *Package {
	it, ok := d.item(b, "package")
	if !ok {
		return nil
	}
	text, ok := d.asText(it)
	if !ok {
		return nil
	}
	p := &Package{Attr: text}
	if input, attr, isFlake := strings.Cut(text, "#"); isFlake {
		p.Input, p.Attr = input, attr
	}
	if !d.pattern(`^` + attributePath + `$`).MatchString(p.Attr) {
		d.wrong(it, fmt.Sprintf("%q is not ATTR or INPUT#ATTR.", text), `package = "shop-web"`)
		return nil
	}
	if strings.Contains(text, "#") && !d.knownInput(f, it, p.Input) {
		return nil
	}
	return p
}
