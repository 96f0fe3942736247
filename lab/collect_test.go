package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestCollect(t *testing.T) {
	ctx, now := t.Context(), time.Now()
	c := &cache{dir: t.TempDir(), log: func(line string) { t.Log(line) }}
	fill := func(name string, age time.Duration) {
		t.Helper()
		if err := os.MkdirAll(c.path(name, "root"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(c.path(name), now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	const old = unusedFor + time.Hour
	for name, age := range map[string]time.Duration{
		"seed-old": old, "src-old": old, "seed-new": time.Hour, "src-asked": old, "seed-disk": old,
		"base-old": old, "store-old": old, "seed-killed.part": old, "src-busy.part": time.Minute,
	} {
		fill(name, age)
	}
	if _, err := c.make(ctx, "src-asked", nil); err != nil {
		t.Fatal(err)
	}

	state := t.TempDir()
	text, err := json.Marshal(hostDisk{Lower: []string{c.path("seed-disk", "root"), c.path("base-old")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(state, "hosts", "a", hostDiskFile), string(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, dir := range map[string]string{"11111111": state, "22222222": filepath.Join(state, "gone")} {
		if err := c.remember(id, dir); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want map[string]bool) {
		t.Helper()
		if err := c.collect(ctx, now); err != nil {
			t.Fatal(err)
		}
		for name, there := range want {
			if _, err := os.Lstat(c.path(name)); (err == nil) != there {
				t.Errorf("%s is there: %v, want %v", name, err == nil, there)
			}
		}
	}
	check(map[string]bool{
		"seed-old": false, "src-old": false, "seed-new": true, "src-asked": true, "seed-disk": true,
		"base-old": true, "store-old": true, "seed-killed.part": false, "src-busy.part": true,
		"labs/11111111": true, "labs/22222222": false,
	})
	if err := c.forget("11111111"); err != nil {
		t.Fatal(err)
	}
	check(map[string]bool{"seed-disk": false})
}
