package mesh

import (
	"fmt"
	"reflect"
	"strings"
)

// member is one field of a struct, those of embedded structs included.
type member struct {
	name  string
	index []int
	may   bool // be absent: when it is the zero value
}

// shapes knows the members of struct types. encoding/json is not used for the
// document since it takes names in any case, drops what it does not know and
// does not say where a value is wrong.
type shapes map[reflect.Type]shape

type shape struct {
	members []member
	unknown []int // index of the Unknown field, nil without
}

func (s shapes) of(t reflect.Type) shape {
	if known, ok := s[t]; ok {
		return known
	}
	var sh shape
	for _, f := range reflect.VisibleFields(t) {
		if f.Type == reflect.TypeFor[Unknown]() {
			sh.unknown = f.Index
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		sh.members = append(sh.members, member{name: name, index: f.Index, may: option == "omitempty"})
	}
	s[t] = sh
	return sh
}

// encoder turns the types of the document into a tree for appendCanonical.
type encoder struct{ shapes shapes }

func newEncoder() *encoder { return &encoder{shapes{}} }

func (e *encoder) value(v any) any { return e.encode(reflect.ValueOf(v)) }

func (e *encoder) encode(v reflect.Value) any {
	switch own := v.Interface().(type) {
	case Duration:
		return own.String()
	case Names:
		return e.list(reflect.ValueOf(own.sorted()))
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int64:
		return v.Int()
	case reflect.Float64:
		return v.Float()
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return e.encode(v.Elem())
	case reflect.Slice:
		return e.list(v)
	case reflect.Map:
		tree := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			tree[it.Key().String()] = e.encode(it.Value())
		}
		return tree
	case reflect.Struct:
		return e.object(v)
	}
	panic(fmt.Sprintf("mesh: %s has no place in the document", v.Type()))
}

func (e *encoder) list(v reflect.Value) []any {
	tree := make([]any, v.Len())
	for i := range tree {
		tree[i] = e.encode(v.Index(i))
	}
	return tree
}

func (e *encoder) object(v reflect.Value) map[string]any {
	sh := e.shapes.of(v.Type())
	tree := make(map[string]any, len(sh.members))
	if sh.unknown != nil {
		for name, value := range v.FieldByIndex(sh.unknown).Interface().(Unknown).members {
			tree[name] = value
		}
	}
	for _, m := range sh.members {
		field := v.FieldByIndex(m.index)
		if m.may && isEmpty(field) {
			continue
		}
		tree[m.name] = e.encode(field)
	}
	return tree
}

// isEmpty says what absent stands for: nothing, or a list or map of nothing.
func isEmpty(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Slice || k == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}
