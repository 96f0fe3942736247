package agentapi

import (
	"reflect"
	"strings"
	"unicode"
)

// maxText bounds a text of an agent that a person reads, in runes.
const maxText = 500

// oneLine makes one printable line of a text of another machine, so that it
// cannot steer the terminal.
func oneLine(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > maxText {
			b.WriteString("...")
			break
		}
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
	return strings.TrimSpace(b.String())
}

// clean makes every text in an answer one printable line.
func clean(answer any) { cleanValue(reflect.ValueOf(answer)) }

func cleanValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			cleanValue(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				cleanValue(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return // JSON, which whoever shows it has to look after
		}
		for i := range v.Len() {
			cleanValue(v.Index(i))
		}
	case reflect.String:
		if text := v.String(); !plain(text) {
			v.SetString(oneLine(text))
		}
	}
}

// plain says whether oneLine would leave a text as it is, for most texts.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(text) <= maxText
}
