package main

import "testing"

// TestWrapDiagnostics: sentences keep the rule at their left in a narrow
// terminal; lines of the source stay whole, since carets stand below them.
func TestWrapDiagnostics(t *testing.T) {
	text := "╷\n│ Error: Bad value  NM0105\n│\n│   a.hcl:1, in host \"app1\" of a fleet\n│ one two three four\n╵\n"
	want := "╷\n│ Error: Bad\n│ value\n│ NM0105\n│\n│   a.hcl:1, in host \"app1\" of a fleet\n│ one two\n│ three four\n╵\n"
	if got := wrapDiagnostics(text, 12); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := wrapDiagnostics(text, 0); got != text {
		t.Errorf("without a terminal: got\n%s", got)
	}
}

// TestFlowed: paragraphs are broken anew only where they would not fit.
func TestFlowed(t *testing.T) {
	text := "one two\nthree\n\nfour"
	for width, want := range map[int]string{0: text, 80: text, 9: "one two\nthree\n\nfour", 5: "one\ntwo\nthree\n\nfour"} {
		if got := flowed(text, width); got != want {
			t.Errorf("in %d columns: got %q, want %q", width, got, want)
		}
	}
}
