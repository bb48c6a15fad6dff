package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// explain turns an error of the parser into one line for people.
func explain(err error, args []string) error {
	if wrong := (*Error)(nil); errors.As(err, &wrong) {
		return wrong
	}
	command := Run
	if parsing := (*kong.ParseError)(nil); errors.As(err, &parsing) && parsing.Context != nil {
		if selected := parsing.Context.Selected(); selected != nil {
			command = commandOf(selected)
		}
	}
	text := err.Error()
	switch {
	case text == `expected "<file>"`:
		return errors.New("check: a file is missing: culvert check FILE")
	case strings.HasPrefix(text, `expected "<`) && synopses[command] != "":
		return fmt.Errorf("%s: a word is missing: culvert %s", command, strings.TrimSuffix(synopses[command], " [flags]"))
	case strings.HasPrefix(text, "expected one of") && strings.Contains(text, `"drain"`):
		return errors.New("backend: a word is missing: culvert backend list, drain, undrain or weight")
	case strings.HasPrefix(text, "expected one of"):
		return errors.New("config: a word is missing: culvert config print, or culvert config schema")
	}
	if word, ok := strings.CutPrefix(text, "unexpected argument "); ok {
		word, _, _ = strings.Cut(word, ", did you mean")
		switch command {
		case Check:
			return fmt.Errorf("check: %s is one too many: one file at a time", Shown(word))
		case ConfigPrint:
			return fmt.Errorf("config print: %s is one too many: a file is given by --config", Shown(word))
		case BackendDrain, BackendUndrain, BackendWeight:
			return fmt.Errorf("%s: %s is one too many: one backend at a time", command, Shown(word))
		case configWord, backendWord:
			return unknownCommandOf(command, word)
		}
		return unknownCommand(word)
	}
	if flag, ok := strings.CutPrefix(text, "unknown flag "); ok {
		flag, _, _ = strings.Cut(flag, ", did you mean")
		return unknownFlag(command, flag, args)
	}
	return errors.New(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text))
}

func unknownCommand(word string) error {
	if slices.Contains(commands, word) {
		return fmt.Errorf("the command %s stands in the wrong place", word)
	}
	text := "unknown command " + Shown(word)
	if slices.Contains(beginnings, word) {
		return fmt.Errorf("the command %s stands in the wrong place", word)
	}
	if near := Nearest(word, commands); near != "" {
		return fmt.Errorf("%s, did you mean %q?", text, near)
	}
	return fmt.Errorf("%s; allowed: %s", text, strings.Join(commands, ", "))
}

// those returns the commands of two words that begin with one.
func those(first string) (all []string) {
	for _, command := range commands {
		if strings.HasPrefix(command, first+" ") {
			all = append(all, command)
		}
	}
	return all
}

// unknownCommandOf is unknownCommand behind the first word of commands that have two.
func unknownCommandOf(first, second string) error {
	text := "unknown command " + first + " " + Shown(second)
	if near := Nearest(first+" "+second, those(first)); near != "" {
		return fmt.Errorf("%s, did you mean %q?", text, near)
	}
	return fmt.Errorf("%s; allowed: %s", text, strings.Join(those(first), ", "))
}

// unknownFlag helps with mistyped names, and with one dash for two, of which the parser sees the first letter only.
func unknownFlag(command, flag string, args []string) error {
	if !strings.HasPrefix(flag, "--") {
		for _, arg := range args {
			if strings.HasPrefix(arg, flag) {
				flag, _, _ = strings.Cut(arg, "=")
				break
			}
		}
	}
	name := strings.TrimLeft(flag, "-")
	text := "unknown flag " + Shown(flag)
	if slices.Contains(beginnings, command) {
		return fmt.Errorf("culvert %s has no flag %s: flags stand behind the whole command, as in culvert %s --help", command, Shown(flag), those(command)[0])
	}
	if known := slices.Contains(flagNames(Run), name); command != Run && known || command == Run && !known && slices.Contains(flagNames(Demo), name) {
		return fmt.Errorf("culvert %s has no flag %s", command, Shown(flag))
	}
	if near := Nearest(name, flagNames(command)); near != "" {
		return fmt.Errorf("%s, did you mean %q?", text, "--"+near)
	}
	if command != Run {
		return fmt.Errorf("%s; culvert help %s lists them", text, command)
	}
	return fmt.Errorf("%s; culvert --help lists them", text)
}
