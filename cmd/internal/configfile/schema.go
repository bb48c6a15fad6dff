package configfile

import (
	"bytes"
	"encoding/json"
	"strconv"

	"culvert/cmd/internal/settings"
)

// shape is a JSON schema (draft 2020-12). It holds what an editor can help with: which keys there are, and how values
// are written. What is beyond that, culvert check says.
type shape map[string]any

// Shapes that many keys have.
var (
	textShape       = shape{"type": []string{"string", "number"}}
	booleanShape    = shape{"type": "boolean"}
	nameShape       = shape{"type": []string{"string", "integer"}, "pattern": namePattern, "maxLength": maxName}
	conditionsShape = ref("conditions")
)

const (
	namePattern     = "^[A-Za-z0-9._-]+$"
	durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`
	sizePattern     = "^[0-9]+(B|KiB|MiB|GiB)?$"
)

func ref(name string) shape { return shape{"$ref": "#/$defs/" + name} }

func listOf(item shape) shape { return shape{"type": "array", "items": item} }

// oneOrMore is a list, or what stands for a list of one.
func oneOrMore(item shape) shape { return anyOf(item, listOf(item)) }

func anyOf(shapes ...shape) shape { return shape{"anyOf": shapes} }

func wordsShape(words ...string) shape { return shape{"enum": words} }

// numbersShape is words that YAML takes for numbers.
func numbersShape(words ...string) shape {
	var values []int
	for _, word := range words {
		n, _ := statusOf(word)
		values = append(values, n)
	}
	return shape{"enum": values}
}

func countShape(low, high int) shape {
	return shape{"type": "integer", "minimum": low, "maximum": high}
}

// mapOf is a mapping whose keys match a pattern; "": any.
func mapOf(pattern string, value shape) shape {
	s := shape{"type": "object", "additionalProperties": value}
	if pattern != "" {
		s["propertyNames"] = shape{"pattern": pattern}
	}
	return s
}

// objectOf is a mapping by the table of its fields.
func objectOf[T any](fields []field[T], required ...string) shape {
	properties := shape{}
	for _, f := range fields {
		property := shape{"description": f.help}
		for key, value := range f.shape {
			property[key] = value
		}
		properties[f.key] = property
		if f.nullable {
			properties[f.key] = anyOf(property, shape{"type": "null"})
		}
	}
	s := shape{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// flagShape is the shape of a flag's values.
func flagShape(flag settings.Flag) shape {
	s := shape{}
	switch {
	case len(flag.Words) > 0:
		s["enum"] = flag.Words
	case flag.Kind == settings.KindSwitch:
		s["type"] = "boolean"
	case flag.Kind == settings.KindDuration:
		s["type"], s["pattern"] = []string{"string", "integer"}, durationPattern
		s["maximum"] = 0 // a number without its unit is 0
	case flag.Kind == settings.KindSize:
		s["type"], s["pattern"] = []string{"string", "integer"}, sizePattern
	case flag.Kind == settings.KindCount:
		low, _ := strconv.Atoi(flag.Min)
		high, _ := strconv.Atoi(flag.Max)
		s = countShape(low, high)
		if flag.Zero != "" {
			s["minimum"] = 0
		}
	default:
		s = textShape
	}
	if flag.List {
		return oneOrMore(s)
	}
	if flag.Default != "" {
		s = shape{"default": defaultOf(flag)}.and(s)
	}
	return s
}

// defaultOf is what a file would say to have the default.
func defaultOf(flag settings.Flag) any {
	text := flag.Default
	if flag.Zero != "" && text == "0 ("+flag.Zero+")" {
		text = "0"
	}
	switch n, err := strconv.Atoi(text); {
	case err == nil && flag.Kind != settings.KindText:
		return n
	case flag.Kind == settings.KindSwitch:
		return text == "true"
	}
	return text
}

func (s shape) and(other shape) shape {
	for key, value := range other {
		s[key] = value
	}
	return s
}

// Schema returns the JSON schema of configuration files.
func Schema() []byte {
	root := objectOf(rootFields())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Culvert configuration"
	root["description"] = "Made by culvert config schema; docs/configuration.md explains it."
	root["$defs"] = shape{
		"listener":     objectOf(listenerFields(), "address"),
		"listener-tls": objectOf(listenerTLSFields()),
		"certificate":  objectOf(certificateFields(), "cert", "key"),
		"rule":         ruleShape(),
		"redirect":     objectOf(redirectFields(), "location"),
		"answer":       objectOf(answerFields()),
		"body":         objectOf(bodyFields(func(b *Body) *Body { return b })),
		"header-edits": objectOf(editFields()),
		"group":        groupShape(),
		"schedule":     objectOf(scheduleFields(), "algorithm"),
		"sticky":       objectOf(stickyFields()),
		"check":        objectOf(checkFields()),
		"outliers":     objectOf(outlierFields()),
		"discovery":    discoveryShape(),
		"backend-tls":  objectOf(backendTLSFields()),
		"server":       anyOf(shape{"type": "string"}, objectOf(serverFields(), "address")),
		"conditions":   mapOf("", conditionShape()),
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		panic("configfile: the schema: " + err.Error())
	}
	return out.Bytes()
}

// ruleShape asks for exactly one action.
func ruleShape() shape {
	s := objectOf(ruleFields())
	s["oneOf"] = []shape{{"required": []string{"group"}}, {"required": []string{"redirect"}}, {"required": []string{"answer"}}}
	return s
}

// groupShape asks for servers, or a source of them.
func groupShape() shape {
	s := objectOf(groupFields())
	s["anyOf"] = []shape{{"required": []string{"servers"}}, {"required": []string{"discovery"}}}
	return s
}

// discoveryShape asks for exactly one source.
func discoveryShape() shape {
	s := objectOf(discoveryFields())
	s["oneOf"] = []shape{{"required": []string{"dns"}}, {"required": []string{"srv"}}, {"required": []string{"file"}}}
	return s
}

func conditionShape() shape {
	say := shape{"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": false, "properties": shape{
		"equal": textShape, "prefix": textShape, "present": shape{"const": true}, "absent": shape{"const": true},
	}}
	return anyOf(shape{"type": []string{"string", "number", "boolean"}}, say)
}
