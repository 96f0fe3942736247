package deploy

import "fmt"

// fold tells lines that repeat once, where they came first, with their number:
// a unit that crashes in a loop says the same many times.
func fold(lines []string) []string {
	times := map[string]int{}
	var out []string
	for _, l := range lines {
		if times[l]++; times[l] == 1 {
			out = append(out, l)
		}
	}
	for i, l := range out {
		if n := times[l]; n > 1 {
			out[i] = fmt.Sprintf("%s (%d times)", l, n)
		}
	}
	return out
}
