package deploy

import (
	"slices"
	"testing"
)

func TestFold(t *testing.T) {
	got := fold([]string{"start", "unhealthy: 503", "unhealthy: 503", "exit 1", "unhealthy: 503"})
	want := []string{"start", "unhealthy: 503 (3 times)", "exit 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBuiltLine(t *testing.T) {
	hosts := make([]*HostPlan, 5)
	for want, evaluated := range map[string][]string{
		"Built: nothing evaluated.":                       {},
		"Built: 1 host evaluated (h2), 4 unchanged.":      {"h2"},
		"Built: 5 hosts evaluated (a, b, c, d, e).":       {"a", "b", "c", "d", "e"},
		"Built: 2 hosts evaluated (h1, h2), 3 unchanged.": {"h1", "h2"},
	} {
		if got := builtLine(&Plan{Hosts: hosts, Evaluated: evaluated}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
