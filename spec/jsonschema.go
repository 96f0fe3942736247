package spec

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// JSONSchema is the language as a JSON Schema (draft 2020-12) of *.hcl.json
// files, for generators and editors. It holds names, types, words and bounds; what
// needs more than one block to tell is left to validate.
func JSONSchema() []byte {
	defs := map[string]any{ // and every block, and every type that needs no bounds, as it is met
		"expression": map[string]any{
			"description": "A value by an expression of HCL, in a text: \"${var.port}\".",
			"type":        "string",
			"pattern":     `\$\{`,
		},
	}
	root := map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "nixmesh.schema.json",
		"title":       "nixmesh",
		"description": "A file of a fleet in HCL's JSON syntax (*.hcl.json).",
		"$defs":       defs,
	}
	maps.Copy(root, bodySchema(defs, "", grammar().holds(labSchema())))
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil { // texts, numbers, lists and maps only: cannot happen
		panic(err)
	}
	return text.Bytes()
}

// bodySchema is what stands in a block. The schemas of the blocks in it go to
// defs, by their path: "service.listen".
func bodySchema(defs map[string]any, path string, s *blockSchema) map[string]any {
	properties := map[string]any{"//": map[string]any{"description": "A comment."}}
	required := []string{}
	for _, a := range s.list {
		properties[a.name] = argumentSchema(defs, a)
		if a.required {
			required = append(required, a.name)
		}
	}
	for _, in := range s.inner {
		name := in.kind
		if path != "" {
			name = path + "." + in.kind
		}
		defs[name] = bodySchema(defs, name, in)
		properties[in.kind] = occurrences(defs, name, in)
	}
	body := map[string]any{"type": "object", "properties": properties, "additionalProperties": s.open}
	if s.doc != "" {
		body["description"] = s.doc
	}
	if len(required) > 0 {
		body["required"] = required
	}
	return body
}

// occurrences is how blocks of one kind stand in the block around them: as an
// object, below their labels if they have some, or a list of these.
func occurrences(defs map[string]any, name string, s *blockSchema) map[string]any {
	one := map[string]any{"$ref": "#/$defs/" + name}
	if s.label == "" || s.many {
		one = orList(one)
	}
	if s.label == "" {
		return one
	}
	labelled := map[string]any{"type": "object", "additionalProperties": one}
	if s.label == "NAME" {
		labelled["propertyNames"] = map[string]any{"pattern": `^[a-z][a-z0-9-]{0,30}$`}
	}
	defs["labels."+name] = labelled
	return orList(map[string]any{"$ref": "#/$defs/labels." + name})
}

// orList is one of a form, or a list. It is not a choice, so that a validator
// tells what is wrong in the form, and not that nothing fits.
func orList(form map[string]any) map[string]any {
	return map[string]any{"if": map[string]any{"type": "array"}, "then": map[string]any{"items": form}, "else": form}
}

func argumentSchema(defs map[string]any, a argSchema) map[string]any {
	value := typeSchema(a)
	if a.typ != typeChoice && a.typ != typePercent && a.typ != typeInt {
		name := typeDefinition(a.typ)
		defs[name], value = value, map[string]any{"$ref": "#/$defs/" + name}
	}
	described := map[string]any{"description": a.doc}
	if a.absent != "" {
		described["description"] = a.doc + " If left out: " + a.absent + "."
	}
	if json.Valid([]byte(a.fallback)) {
		described["default"] = json.RawMessage(a.fallback)
	}
	maps.Copy(described, value)
	return described
}

// typeDefinition names a type without what a reference could not hold.
func typeDefinition(t argType) string {
	return "type." + strings.NewReplacer("[", "list-of-", "{", "map-of-", "]", "", "}", "", " ", "-", "#", "-").Replace(string(t))
}

// typeSchema is how a value is written in JSON. All texts of HCL's JSON syntax
// may hold expressions.
func typeSchema(a argSchema) map[string]any {
	text := map[string]any{"type": "string"}
	switch a.typ {
	case typeChoice:
		return orExpression(map[string]any{"enum": a.words})
	case typeDuration:
		return schemaOfText(`^(0|[1-9][0-9]{0,9})(ms|s|m|h|d)$` + orTemplate)
	case typeSize:
		return schemaOfText(`^[1-9][0-9]{0,9}(KiB|MiB|GiB|TiB)$` + orTemplate)
	case typePercent:
		return orExpression(percentSchema(a.least, a.most))
	case typeCount:
		return orExpression(map[string]any{"type": "integer", "minimum": 1}, schemaOfText(percentPattern))
	case typeRate:
		return schemaOfText(`^[1-9][0-9]{0,8}/[smh]$` + orTemplate)
	case typeInt:
		return orExpression(map[string]any{"type": "integer", "minimum": a.least, "maximum": a.most})
	case typeBool:
		return orExpression(map[string]any{"type": "boolean"})
	case typeAny:
		return map[string]any{}
	case typeTexts, typeFiles, typeImports, typeSelectors, typeCommands, typePaths:
		return orExpression(schemaOfList(text))
	case typePercents:
		return orExpression(schemaOfList(orExpression(percentSchema(0, 100))))
	case typeTextMap:
		return orExpression(schemaOfMap(map[string]any{"type": []string{"string", "number", "boolean"}}))
	case typeMatch:
		return orExpression(schemaOfMap(text))
	case typeShares:
		return orExpression(schemaOfMap(orExpression(percentSchema(0, 100))))
	case typeSecrets:
		path := map[string]any{"type": "object", "properties": map[string]any{"path": text}, "required": []string{"path"}, "additionalProperties": false}
		return orExpression(schemaOfMap(schemaOfAny(text, path)))
	case typeOptions:
		return orExpression(schemaOfMap(map[string]any{}))
	default: // texts of one kind or another
		return text
	}
}

// orTemplate lets a text be an expression instead.
const orTemplate = `|\$\{`

const percentPattern = `^[0-9]{1,6}(\.[0-9]{1,6})?%$`

func percentSchema(least, most float64) map[string]any {
	return schemaOfAny(map[string]any{"type": "number", "minimum": least, "maximum": most}, schemaOfText(percentPattern))
}

func schemaOfText(regex string) map[string]any {
	return map[string]any{"type": "string", "pattern": regex}
}

func schemaOfList(entry map[string]any) map[string]any {
	return map[string]any{"type": "array", "items": entry}
}

func schemaOfMap(entry map[string]any) map[string]any {
	return map[string]any{"type": "object", "additionalProperties": entry}
}

func orExpression(forms ...map[string]any) map[string]any {
	return schemaOfAny(append(forms, map[string]any{"$ref": "#/$defs/expression"})...)
}

// either is one of the forms; forms that are a choice themselves are laid flat.
func schemaOfAny(forms ...map[string]any) map[string]any {
	var flat []map[string]any
	for _, f := range forms {
		if inner, choice := f["anyOf"].([]map[string]any); choice && len(f) == 1 {
			flat = append(flat, inner...)
			continue
		}
		flat = append(flat, f)
	}
	return map[string]any{"anyOf": slices.Clip(flat)}
}
