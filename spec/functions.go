package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are those that expressions may call. All are pure but for the
// files of the fleet's folder, so the same input gives the same fleet.
func functions(dir string) map[string]function.Function {
	return map[string]function.Function{
		"coalesce":   stdlib.CoalesceFunc,
		"concat":     stdlib.ConcatFunc,
		"contains":   stdlib.ContainsFunc,
		"distinct":   foreseen(stdlib.DistinctFunc, distinctWeight),
		"flatten":    stdlib.FlattenFunc,
		"format":     foreseen(stdlib.FormatFunc, formatWeight),
		"join":       foreseen(stdlib.JoinFunc, joinWeight),
		"jsonencode": stdlib.JSONEncodeFunc,
		"keys":       stdlib.KeysFunc,
		"length":     stdlib.LengthFunc,
		"lower":      stdlib.LowerFunc,
		"merge":      stdlib.MergeFunc,
		"replace":    foreseen(stdlib.ReplaceFunc, replaceWeight),
		"sort":       stdlib.SortFunc,
		"split":      foreseen(stdlib.SplitFunc, splitWeight),
		"trimspace":  stdlib.TrimSpaceFunc,
		"upper":      stdlib.UpperFunc,
		"values":     stdlib.ValuesFunc,
		"file": fileFunction(dir, func(text []byte) (string, error) {
			if !utf8.Valid(text) {
				return "", errors.New("the file is not UTF-8")
			}
			return string(text), nil
		}),
		"sha256file": fileFunction(dir, func(text []byte) (string, error) {
			sum := sha256.Sum256(text)
			return hex.EncodeToString(sum[:]), nil
		}),
	}
}

func functionNames() []string { return slices.Sorted(maps.Keys(functions(""))) }

// fileFunction reads a file of the fleet's folder, up to 4 MiB.
func fileFunction(dir string, answer func([]byte) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			rel := args[0].AsString()
			real, err := insideDir(dir, rel)
			if err != nil {
				return cty.NilVal, &fileError{rel, err}
			}
			info, err := os.Stat(real)
			if err != nil || !info.Mode().IsRegular() || info.Size() > maxFileSize {
				return cty.NilVal, function.NewArgErrorf(0, "%s is not a regular file of at most 4 MiB", rel)
			}
			text, err := os.ReadFile(real)
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			out, err := answer(text)
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(out), nil
		},
	})
}

// pathProblem says what is wrong with a path of the fleet's folder.
func pathProblem(dir, rel string, err error) error {
	switch {
	case errors.Is(err, errOutside):
		return fmt.Errorf("%s leaves the fleet's folder", rel)
	case errors.Is(err, errLoop):
		return fmt.Errorf("%s is a loop of links", rel)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %s", rel)
	default:
		return fmt.Errorf("%s cannot be read: %w", rel, err)
	}
}

// nearestFile is the file beside rel whose name is nearest, "" for none.
func nearestFile(dir, rel string) string {
	folder := filepath.Dir(filepath.Clean(rel))
	if !filepath.IsLocal(folder) {
		return ""
	}
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil {
		return ""
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	if n := nearest(filepath.Base(rel), names); n != "" {
		return filepath.ToSlash(filepath.Join(folder, n))
	}
	return ""
}
