package unseal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/trust"
)

// environment writes one EnvironmentFile, whole or not at all. A variable
// whose secret was not opened has been reported by then: without it the file
// is left out, and its unit does not start.
func (s *set) environment(e hostfacts.SecretEnvironment) error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.Variables)) {
		file, own := s.fileOf(e.Variables[name])
		text, err := readBounded(file, trust.MaxSecret)
		if own && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("variable %s of %s: %w", name, e.File, err)
		}
		line, err := assignment(name, text)
		if err != nil {
			return fmt.Errorf("variable %s of %s: %w", name, e.File, err)
		}
		b.WriteString(line)
	}
	if err := s.write(e.File, []byte(b.String()), 0); err != nil {
		return fmt.Errorf("write %s: %w", e.File, err)
	}
	return nil
}

// fileOf is where a path of the manifest is now: one of SecretsDir is in the
// set that is being made.
func (s *set) fileOf(path string) (file string, own bool) {
	rel, own := strings.CutPrefix(path, hostfacts.SecretsDir+"/")
	if !own {
		return path, false
	}
	return filepath.Join(s.next, rel), true
}

// assignment is NAME="value" as systemd reads it in an EnvironmentFile: within
// double quotes a line may end, and only these four are escaped. The newline
// at the end of a text is not part of the value, as in a shell's $(…).
func assignment(name string, text []byte) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
		return "", errors.New("this is no name of a variable")
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	if bytes.IndexByte(text, 0) >= 0 {
		return "", errors.New("its text holds a NUL, which no variable can; use the file that NAME_FILE names")
	}
	if !utf8.Valid(text) {
		return "", errors.New("its text is not UTF-8, which systemd wants of variables; use the file that NAME_FILE names")
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(string(text))
	return name + `="` + quoted + "\"\n", nil
}

// readBounded reads a whole file of at most limit bytes.
func readBounded(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", file, limit)
	}
	return text, nil
}
