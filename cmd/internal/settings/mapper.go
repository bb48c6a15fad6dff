package settings

import (
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// decoder turns a value as written into what it means. The error says what is wrong, not what is allowed.
type decoder[T any] func(text string, tag *kong.Tag) (T, error)

// single maps a setting with one value.
func single[T any](decode decoder[T]) kong.Mapper {
	return kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		text, from, err := take(ctx)
		if err != nil {
			return err
		}
		value, err := decode(text, ctx.Value.Tag)
		if err != nil {
			return wrongValue(ctx.Value, from, text, err.Error())
		}
		target.Set(reflect.ValueOf(value).Convert(target.Type()))
		return nil
	})
}

// list maps a setting with any number of values. A flag holds one of them, or with commas several; a variable holds
// all, with blanks or semicolons between them.
func list[T any](decode decoder[T], commas bool) kong.Mapper {
	return kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		if value, ok := ctx.Scan.Peek().Value.(LayerValue); ok {
			ctx.Scan.Pop()
			return decodeItems(ctx, target, origin{place: value.Place}, value.Items, decode)
		}
		text, from, err := take(ctx)
		if err != nil {
			return err
		}
		items := []string{text}
		if from.variable != "" {
			items = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(listSeparators, r) })
		}
		if commas {
			items = strings.Split(strings.Join(items, ","), ",")
		}
		if len(items) == 0 {
			return wrongValue(ctx.Value, from, text, "holds nothing")
		}
		return decodeItems(ctx, target, from, items, decode)
	})
}

func decodeItems[T any](ctx *kong.DecodeContext, target reflect.Value, from origin, items []string, decode decoder[T]) error {
	for _, item := range items {
		value, err := decode(item, ctx.Value.Tag)
		if err != nil {
			return wrongValue(ctx.Value, from, item, err.Error())
		}
		target.Set(reflect.Append(target, reflect.ValueOf(value)))
	}
	return nil
}

// listSeparators stand between the values of a list in an environment variable.
const listSeparators = "; \t\r\n"

// boolean maps a setting that is on when its flag is named.
type boolean struct{}

// IsBool tells kong that the flag needs no value.
func (boolean) IsBool() bool { return true }

// Decode implements kong.Mapper.
func (boolean) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		target.SetBool(true)
		return nil
	}
	text, from, err := take(ctx)
	if err != nil {
		return err
	}
	if text != "true" && text != "false" {
		return wrongValue(ctx.Value, from, text, "neither true nor false")
	}
	target.SetBool(text == "true")
	return nil
}

// origin is where a value came from: an environment variable, a place in a configuration file, or the command line.
type origin struct{ variable, place string }

// take takes the next value, and where it came from.
func take(ctx *kong.DecodeContext) (text string, from origin, err error) {
	token := ctx.Scan.Peek()
	switch v := token.Value.(type) {
	case variableValue:
		ctx.Scan.Pop()
		return v.text, origin{variable: v.name}, nil
	case LayerValue:
		ctx.Scan.Pop()
		return v.Items[0], origin{place: v.Place}, nil
	}
	text, ok := token.Value.(string)
	if !ok || !token.IsValue() && !negative(text) {
		return "", from, wrongValue(ctx.Value, from, "", "a value is missing")
	}
	ctx.Scan.Pop()
	return text, from, nil
}

// negative tells a negative number from a flag.
func negative(text string) bool {
	return len(text) > 1 && text[0] == '-' && (text[1] >= '0' && text[1] <= '9' || text[1] == '.')
}

func wrongValue(value *kong.Value, from origin, text, reason string) error {
	if text == "" && reason != "a value is missing" {
		reason = "an empty value"
	}
	if value.Flag == nil {
		return &Error{Flag: strings.ToUpper(value.Name), Argument: true, Text: text, Reason: reason, Allowed: allowed(value)}
	}
	return &Error{Flag: value.Name, Variable: from.variable, Place: from.place, Text: text, Reason: reason, Allowed: allowed(value)}
}

// allowed says what a setting may be.
func allowed(value *kong.Value) string {
	tag := value.Tag
	switch {
	case tag.Has("allowed"):
		return tag.Get("allowed")
	case tag.Has("words"):
		return strings.Join(strings.Fields(tag.Get("words")), ", ")
	case value.IsBool():
		return "true, false"
	case !tag.Has("min"):
		return ""
	}
	return rangeOf(tag).Allowed()
}
