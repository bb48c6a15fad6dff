package settings

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"culvert/proxy/limit"
)

// schema is the grammar of the command run, taken apart once: what is said of a setting there holds wherever else its
// value is written.
type schema struct {
	flags map[string]*kong.Flag
	// fields are the indexes of each flag's field in Settings; none for those that are not there.
	fields map[string][]int
}

var runSchema = sync.OnceValue(func() *schema {
	g := &grammar{}
	parser, err := newParser(g)
	if err != nil {
		panic("settings: the grammar: " + err.Error())
	}
	s := &schema{flags: map[string]*kong.Flag{}, fields: map[string][]int{}}
	for _, flag := range nodeOf(parser, Run).Flags {
		s.flags[flag.Name] = flag
	}
	settings := reflect.ValueOf(&g.RunCommand.Settings).Elem()
	for i := range settings.NumField() {
		for j := range settings.Field(i).NumField() {
			field := settings.Field(i).Field(j)
			for name, flag := range s.flags {
				if flag.Target.Addr().Interface() == field.Addr().Interface() {
					s.fields[name] = []int{i, j}
				}
			}
		}
	}
	return s
})

// decode reads texts as the flag would, each, and returns what comes of all: a new value of the flag's type.
func decode(name string, texts []string) (reflect.Value, error) {
	flag, ok := runSchema().flags[name]
	if !ok {
		return reflect.Value{}, fmt.Errorf("no setting is named %s", Shown(name))
	}
	value := reflect.New(flag.Target.Type()).Elem()
	for _, text := range texts {
		// As the only item of a file's list, a text is neither split nor taken for a flag.
		scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: LayerValue{Items: []string{text}}})
		if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, value); err != nil {
			return reflect.Value{}, err
		}
	}
	return value, nil
}

// CheckValue reports what is wrong with the value of a setting of Run, of which a list has any number of texts. The
// error is an *Error.
func CheckValue(flag string, texts ...string) error {
	_, err := decode(flag, texts)
	return err
}

// Decode reads texts as the values of a flag, whose type in Settings or Invocation is T.
func Decode[T any](flag string, texts ...string) (T, error) {
	var none T
	value, err := decode(flag, texts)
	if err != nil {
		return none, err
	}
	decoded, ok := value.Interface().(T)
	if !ok {
		return none, fmt.Errorf("settings: --%s is a %s", flag, value.Type())
	}
	return decoded, nil
}

// Set gives one setting another value. It must not be called on settings that somebody else reads.
func (s *Settings) Set(flag string, texts ...string) error {
	value, err := decode(flag, texts)
	if err != nil {
		return err
	}
	index, ok := runSchema().fields[flag]
	if !ok {
		return fmt.Errorf("settings: --%s is none of Settings", flag)
	}
	reflect.ValueOf(s).Elem().FieldByIndex(index).Set(value)
	return nil
}

// An EffectiveValue is a setting as it counts.
type EffectiveValue struct {
	Flag Flag
	// Items are what a file would say: one text, or any number where the setting is a list.
	Items []string
	// Origin says where it comes from: "default", "--flag", a variable, "file:line:column", or "spec NAME".
	Origin string
}

// Effective returns every setting of Run as it counts, in the order of Flags; without the configuration file itself,
// and without those of SiteFlags, which a file says elsewhere.
func (i *Invocation) Effective() []EffectiveValue {
	var values []EffectiveValue
	for _, flag := range Flags(Run) {
		if flag.Name == "config" || slices.Contains(SiteFlags, flag.Name) {
			continue
		}
		value := reflect.ValueOf(i.Sources)
		switch flag.Name {
		case "source":
		case "watch-config":
			value = reflect.ValueOf(i.WatchConfig)
		default:
			value = reflect.ValueOf(i.Settings).Elem().FieldByIndex(runSchema().fields[flag.Name])
		}
		values = append(values, EffectiveValue{Flag: flag, Items: textsOf(flag, value), Origin: i.originOf(flag)})
	}
	return values
}

func (i *Invocation) originOf(flag Flag) string {
	from, given := i.origins[flag.Name]
	switch {
	case from.place != "":
		return from.place
	case from.variable != "":
		return from.variable
	case given:
		return "--" + flag.Name
	}
	switch flag.Name {
	case "max-connections", "max-new-connections", "max-requests":
		if _, ok := limit.Lookup(i.Settings.Limits.Spec); ok {
			return "spec " + i.Settings.Limits.Spec
		}
	}
	return "default"
}

// textsOf writes a value as its decoder reads it.
func textsOf(flag Flag, value reflect.Value) []string {
	texts := []string{}
	if flag.List {
		for n := range value.Len() {
			texts = append(texts, fmt.Sprint(value.Index(n).Interface()))
		}
		return texts
	}
	switch v := value.Interface().(type) {
	case time.Duration:
		return append(texts, DurationText(v))
	case int:
		if flag.Kind == KindSize {
			return append(texts, sizeText(v))
		}
		return append(texts, strconv.Itoa(v))
	case AccessLog:
		if v.Off {
			return append(texts, "off")
		}
		return append(texts, v.Path)
	}
	text := fmt.Sprint(value.Interface())
	if text == "" {
		text = flag.Default // the word for none
	}
	return append(texts, text)
}

// DurationText writes a duration as its flag reads it. It leaves out the zeros at the end: 1h, not 1h0m0s.
func DurationText(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func sizeText(n int) string {
	for _, unit := range sizeUnits {
		if unit.shift > 0 && n > 0 && n%(1<<unit.shift) == 0 && n>>unit.shift < 1<<10 {
			return strconv.Itoa(n>>unit.shift) + unit.name
		}
	}
	return strconv.Itoa(n)
}

// AddressText writes an address to listen on as its flag reads it.
func AddressText(address netip.AddrPort) string {
	if address.Addr() == netip.IPv6Unspecified() {
		return fmt.Sprintf(":%d", address.Port())
	}
	return address.String()
}

// Reasons returns what is wrong with a setting's value and what is allowed, without the name of the flag; "", if nothing is.
func Reasons(err error) (reason, allowed string) {
	if err == nil {
		return "", ""
	}
	if wrong := (*Error)(nil); errors.As(err, &wrong) {
		return wrong.Reason, wrong.Allowed
	}
	return err.Error(), ""
}
