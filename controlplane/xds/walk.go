package xds

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// message is what a resource holds.
func (r *Resource) message() (proto.Message, error) {
	m, err := (&anypb.Any{TypeUrl: string(r.Type), Value: r.Body}).UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Name, err)
	}
	return m, nil
}

// walk visits a message and all that it holds, packed messages too, the outer ones
// first. What a visit changes stays changed.
func walk(m proto.Message, visit func(proto.Message) error) error {
	if packed, ok := m.(*anypb.Any); ok {
		return walkPacked(packed, visit)
	}
	if err := visit(m); err != nil {
		return err
	}
	var err error
	enter := func(v protoreflect.Value) bool {
		err = walk(v.Message().Interface(), visit)
		return err == nil
	}
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			if field.MapValue().Message() != nil {
				value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { return enter(v) })
			}
		case field.Message() == nil:
		case field.IsList():
			for i := 0; i < value.List().Len() && err == nil; i++ {
				enter(value.List().Get(i))
			}
		default:
			enter(value)
		}
		return err == nil
	})
	return err
}

func walkPacked(packed *anypb.Any, visit func(proto.Message) error) error {
	inner, err := packed.UnmarshalNew()
	if err != nil {
		return fmt.Errorf("read %s: %w", packed.TypeUrl, err)
	}
	if err := walk(inner, visit); err != nil {
		return err
	}
	packed.Value, err = proto.MarshalOptions{Deterministic: true}.Marshal(inner)
	return err
}
