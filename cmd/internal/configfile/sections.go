package configfile

import (
	"slices"
	"sync"

	"culvert/cmd/internal/settings"
)

// section is a mapping of settings that are flags.
type section struct {
	name  string
	flags []settings.Flag
}

// elsewhere are the flags that no section has: the file says it by listeners and groups, or cannot say it.
var elsewhere = append([]string{"config"}, settings.SiteFlags...)

// sections are made from the flags once.
var sections = sync.OnceValue(func() []section {
	var all []section
	for _, flag := range settings.Flags(settings.Run) {
		if slices.Contains(elsewhere, flag.Name) {
			continue
		}
		if len(all) == 0 || all[len(all)-1].name != flag.Section() {
			all = append(all, section{name: flag.Section()})
		}
		all[len(all)-1].flags = append(all[len(all)-1].flags, flag)
	}
	return all
})

// flags are those of Run, by name.
var flags = sync.OnceValue(func() map[string]settings.Flag {
	all := map[string]settings.Flag{}
	for _, flag := range settings.Flags(settings.Run) {
		all[flag.Name] = flag
	}
	return all
})

// flagNamed returns the flag of a name that is known to be one.
func flagNamed(name string) settings.Flag {
	flag, ok := flags()[name]
	if !ok {
		panic("configfile: no flag " + name)
	}
	return flag
}

// settingFields makes a field of each flag, whose settings go where to says.
func settingFields[T any](flags []settings.Flag, to func(*T) *[]Setting) []field[T] {
	fields := make([]field[T], len(flags))
	for i, flag := range flags {
		fields[i] = field[T]{
			key: flag.Name, shape: flagShape(flag), allowed: flag.Allowed, help: flag.Help,
			read: func(r *reader, n *node, into *T) {
				if s, ok := r.setting(n, flag); ok {
					*to(into) = append(*to(into), s)
				}
			},
		}
	}
	return fields
}

// The settings that a listener, or a rule of one, may have different from the rest.
var (
	rulePolicy = []string{
		"idle-timeout", "stalled-timeout", "half-closed-timeout", "connect-timeout", "connect-total-timeout",
		"answer-timeout", "client-write-timeout", "linger-timeout", "keep-alive-requests", "max-body", "min-body-rate",
		"abort-on-client-fin", "forwarded", "request-id", "via", "slb-id",
	}
	// Until a request's head is whole there is no rule, so these are for listeners alone.
	listenerOnly   = []string{"tls-handshake-timeout", "client-head-timeout", "keep-alive-timeout"}
	listenerPolicy = slices.Concat(listenerOnly, rulePolicy)
)

func policyFields[T any](names []string, to func(*T) *[]Setting) []field[T] {
	flags := make([]settings.Flag, len(names))
	for i, name := range names {
		flags[i] = flagNamed(name)
	}
	return settingFields(flags, to)
}
