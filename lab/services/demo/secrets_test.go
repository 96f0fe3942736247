package demo

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadSecrets(t *testing.T) {
	dir := t.TempDir()
	file, empty := filepath.Join(dir, "A"), filepath.Join(dir, "B")
	for name, text := range map[string]string{file: "one", empty: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadSecrets(env(map[string]string{"A_FILE": file}), "A", "NOT_GIVEN")
	if err != nil || len(got) != 1 || got["A"] != "one" {
		t.Errorf("got %v, %v; want A alone", got, err)
	}
	for _, bad := range []string{empty, filepath.Join(dir, "none")} {
		if _, err := ReadSecrets(env(map[string]string{"A_FILE": bad}), "A"); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
