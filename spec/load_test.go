package spec

import (
	"bytes"
	"testing"
)

func TestShop(t *testing.T) {
	for _, name := range []string{"shop", "minimal"} {
		l := Load("../hosts/"+name, Options{Version: "0.1.0"})
		if l.Diagnostics.HasErrors() {
			var text bytes.Buffer
			l.Diagnostics.Render(&text, l.Files, false)
			t.Errorf("%s:\n%s", name, text.String())
		}
	}
}
