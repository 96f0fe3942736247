package remote

import "strings"

// Quote makes one word of a POSIX shell's command line out of each argument
// and joins them with spaces.
func Quote(args ...string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = quoteWord(a)
	}
	return strings.Join(words, " ")
}

// quoteWord leaves a plain word as it is, so that lines stay readable in logs.
func quoteWord(a string) string {
	plain := a != ""
	for i := 0; i < len(a) && plain; i++ {
		c := a[i]
		plain = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("_-./:@%+,", c) >= 0 || c == '=' && i > 0
	}
	if plain && strings.IndexByte(a, '=') < 0 {
		return a
	}
	return "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
}

// ShellLine wraps a line so that sh runs it whatever the user's login shell
// is (fish and csh do not read POSIX syntax).
func ShellLine(script string) string { return Quote("sh", "-c", script) }
