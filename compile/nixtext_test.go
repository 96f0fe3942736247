package compile

import (
	"math"
	"testing"
)

func TestNixValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value any
		want  string
	}{
		{nil, "null"},
		{"a\"b\\c\n\t\r", `"a\"b\\c\n\t\r"`},
		{"$x ${y} $${z} $", `"$x \${y} \$\${z} $"`},
		{int64(-3), "(-3)"},
		{int64(math.MinInt64), "(-9223372036854775807 - 1)"},
		{0.5, "0.5"},
		{-2.25, "(-2.25)"},
		{3.0, "3"},
		{1e300, "1" + zeros(300) + ".0"},
		{[]any{int64(1), []any{}, "x"}, "[\n  1\n  [ ]\n  \"x\"\n]"},
		{map[string]any{"b-c": true, "a.b": false, "with": nil}, "{\n  \"a.b\" = false;\n  b-c = true;\n  \"with\" = null;\n}"},
	} {
		p := &printer{}
		nixValue(test.value).print(p, 0)
		if got := p.b.String(); got != test.want {
			t.Errorf("%#v: got %s, want %s", test.value, got, test.want)
		}
	}
}

func zeros(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return string(b)
}

func TestSplitPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"services.postgresql":                     "services.postgresql",
		`boot.kernel.sysctl."net.core.somaxconn"`: `boot.kernel.sysctl."net.core.somaxconn"`,
		`environment.etc."a b".text`:              `environment.etc."a b".text`,
		"users.users.nm-web":                      "users.users.nm-web",
	} {
		if got := nixPath(splitPath(path)...); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
