package mesh

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// decoder fills the types of the document from a tree.
type decoder struct {
	shapes shapes
	path   []string // of the value at hand: "services", ".api", "[0]"
}

func newDecoder() *decoder { return &decoder{shapes: shapes{}} }

func (d *decoder) into(target, tree any) error {
	return d.decode(reflect.ValueOf(target).Elem(), tree)
}

func (d *decoder) wrong(format string, args ...any) error {
	return &FieldError{strings.TrimPrefix(strings.Join(d.path, ""), "."), fmt.Sprintf(format, args...)}
}

// at decodes one step further down.
func (d *decoder) at(step string, v reflect.Value, tree any) error {
	d.path = append(d.path, step)
	err := d.decode(v, tree)
	d.path = d.path[:len(d.path)-1]
	return err
}

func (d *decoder) decode(v reflect.Value, tree any) error {
	switch v.Interface().(type) {
	case Duration:
		return d.duration(v, tree)
	case Names:
		return d.names(v, tree)
	}
	switch v.Kind() {
	case reflect.String:
		s, ok := tree.(string)
		if !ok {
			return d.wrong("want a text")
		}
		if strings.ContainsRune(s, 0) {
			return d.wrong("%q holds a NUL", s)
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := tree.(bool)
		if !ok {
			return d.wrong("want true or false")
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		f, ok := tree.(float64)
		if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return d.wrong("want a whole number")
		}
		v.SetInt(int64(f))
	case reflect.Float64:
		f, ok := tree.(float64)
		if !ok {
			return d.wrong("want a number")
		}
		v.SetFloat(f)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.decode(v.Elem(), tree)
	case reflect.Slice:
		return d.list(v, tree)
	case reflect.Map:
		return d.mapping(v, tree)
	case reflect.Struct:
		return d.object(v, tree)
	default:
		panic(fmt.Sprintf("mesh: %s has no place in the document", v.Type()))
	}
	return nil
}

func (d *decoder) duration(v reflect.Value, tree any) error {
	text, ok := tree.(string)
	if !ok {
		return d.wrong(`want a time such as "1m30s"`)
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < 0 {
		return d.wrong("%q is no time such as \"1m30s\"", text)
	}
	if value.String() != text { // it has to be written again as it came
		return d.wrong("%q is written %q", text, value)
	}
	v.SetInt(int64(value))
	return nil
}

func (d *decoder) names(v reflect.Value, tree any) error {
	if err := d.list(v, tree); err != nil {
		return err
	}
	names := v.Interface().(Names)
	if !slices.Equal(names, names.sorted()) {
		return d.wrong("want each text once, sorted")
	}
	return nil
}

func (d *decoder) list(v reflect.Value, tree any) error {
	items, ok := tree.([]any)
	if !ok {
		return d.wrong("want a list")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if err := d.at(fmt.Sprintf("[%d]", i), v.Index(i), item); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) mapping(v reflect.Value, tree any) error {
	object, ok := tree.(map[string]any)
	if !ok {
		return d.wrong("want an object")
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(object)))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := d.at("."+name, value, object[name]); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name), value)
	}
	return nil
}

func (d *decoder) object(v reflect.Value, tree any) error {
	object, ok := tree.(map[string]any)
	if !ok {
		return d.wrong("want an object")
	}
	sh := d.shapes.of(v.Type())
	known := 0
	for _, m := range sh.members {
		value, given := object[m.name]
		if !given && !m.may {
			return d.wrong("%q is missing", m.name)
		}
		if !given {
			continue
		}
		known++
		field := v.FieldByIndex(m.index)
		if err := d.at("."+m.name, field, value); err != nil {
			return err
		}
		if m.may && isEmpty(field) { // it would not be written again
			d.path = append(d.path, "."+m.name)
			return d.wrong("leave it out where it is empty")
		}
	}
	if known < len(object) && sh.unknown != nil {
		rest := maps.Clone(object)
		for _, m := range sh.members {
			delete(rest, m.name)
		}
		v.FieldByIndex(sh.unknown).Set(reflect.ValueOf(Unknown{rest}))
	}
	return nil
}
