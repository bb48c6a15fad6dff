package settings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// TestEveryFlagIsDescribed: group, unit, default or a list without one, what is allowed, one line of help.
func TestEveryFlagIsDescribed(t *testing.T) {
	for _, command := range []string{Run, Demo} {
		seen := map[string]bool{}
		for _, f := range Flags(command) {
			t.Run(command+"/"+f.Name, func(t *testing.T) {
				if !slices.Contains(groups, f.Group) {
					t.Errorf("the group is %q", f.Group)
				}
				if f.Unit == "" || f.Allowed == "" || f.Variable != "CULVERT_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")) {
					t.Errorf("unit %q, allowed %q, variable %q", f.Unit, f.Allowed, f.Variable)
				}
				if f.Default == "" && !f.List || strings.Contains(f.Default, "$") {
					t.Errorf("the default is %q", f.Default)
				}
				if !strings.HasSuffix(f.Help, ".") || len(f.Help) < 20 || strings.Contains(f.Help, "\n") {
					t.Errorf("the help is %q", f.Help)
				}
				if f.List != strings.Contains(f.Help, "repeatable") {
					t.Errorf("a list says that it is repeatable: %q", f.Help)
				}
				if seen[f.Name] {
					t.Error("defined twice")
				}
				seen[f.Name] = true
			})
		}
	}
}

func TestDemoDiffersInItsBackendsAndItsCertificate(t *testing.T) {
	run, demo := flagNames(Run), flagNames(Demo)
	run = slices.DeleteFunc(run, func(n string) bool {
		return slices.Contains(slices.Concat([]string{"backend", "source", "config", "watch-config"}, backendTLSFlags, balancingFlags), n)
	})
	demo = slices.DeleteFunc(demo, func(n string) bool { return n == "tls" })
	slices.Sort(run)
	slices.Sort(demo)
	if !slices.Equal(run, demo) {
		t.Errorf("run has %v, demo %v", run, demo)
	}
}

// neededBy are further flags, without which one can only have its default.
var neededBy = map[string]string{
	"sticky-lifetime": " --sticky insert", "check-interval": " --check http", "check-timeout": " --check http", "check-healthy": " --check http",
	"check-unhealthy": " --check http", "queue": " --max-connections-per-backend 1", "queue-timeout": " --max-connections-per-backend 1 --queue 1",
}

// TestBounds gives every setting that has a range its bounds, and what is next to them.
func TestBounds(t *testing.T) {
	ranged := 0
	for _, flag := range model(Run).Flags {
		if !flag.Tag.Has("min") {
			continue
		}
		ranged++
		low, high := beyond(t, flag)
		for value, accepted := range map[string]bool{flag.Tag.Get("min"): true, flag.Tag.Get("max"): true, low: false, high: false, "0": flag.Tag.Has("zero")} {
			if value == "0" && flag.Tag.Get("min") == "0" {
				continue
			}
			_, err := Parse(append(strings.Fields(someCert+neededBy[flag.Name]), "--"+flag.Name+"="+value), nil)
			if value == low && low == "0" && flag.Tag.Has("zero") {
				accepted = true
			}
			if (err == nil) != accepted {
				t.Errorf("--%s %s: accepted %v, want %v (%v)", flag.Name, value, err == nil, accepted, err)
			}
		}
	}
	if ranged < 15 {
		t.Errorf("only %d settings have a range", ranged)
	}
}

// beyond returns the values next to a flag's bounds, outside.
func beyond(t *testing.T, flag *kong.Flag) (low, high string) {
	t.Helper()
	low, high = flag.Tag.Get("min"), flag.Tag.Get("max")
	if flag.PlaceHolder == "DURATION" {
		a, errA := time.ParseDuration(low)
		b, errB := time.ParseDuration(high)
		if errA != nil || errB != nil {
			t.Fatalf("--%s: %v, %v", flag.Name, errA, errB)
		}
		return (a - 1).String(), (b + 1).String()
	}
	a, errA := readSize(low)
	b, errB := readSize(high)
	if errA != nil || errB != nil {
		t.Fatalf("--%s: %v, %v", flag.Name, errA, errB)
	}
	return fmt.Sprint(a - 1), fmt.Sprint(b + 1)
}

func TestHelpText(t *testing.T) {
	for topic, flags := range map[string][]Flag{"": Flags(Run), Help: Flags(Run), Run: Flags(Run), Demo: Flags(Demo), Version: nil} {
		text := HelpText(topic)
		for _, f := range flags {
			// As words: lines are wrapped.
			words := strings.Join(strings.Fields(text), " ")
			for _, part := range []string{"--" + f.Synopsis() + ", " + f.Variable, f.Help, "allowed: " + f.Allowed, "default " + f.Default} {
				if !strings.Contains(words, part) && (part != "default " || f.Default != "") {
					t.Errorf("help %s: %q is missing", topic, part)
				}
			}
			if !strings.Contains(text, "\n"+f.Group+"\n") {
				t.Errorf("help %s: the heading %s is missing", topic, f.Group)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			if len(line) > 120 || strings.HasSuffix(line, " ") {
				t.Errorf("help %s: the line %q is too long, or ends in a blank", topic, line)
			}
		}
		if !strings.HasSuffix(text, ".\n") {
			t.Errorf("help %s ends in %q", topic, text[len(text)-10:])
		}
	}
}

// TestHelpReads holds the look of one setting.
func TestHelpReads(t *testing.T) {
	const want = `
Timeouts
  --idle-timeout DURATION, CULVERT_IDLE_TIMEOUT
      End a tunnel none of whose bytes touched the backend's socket for so long.
      default 60s; allowed: 0 (none), or 1s to 24h
`
	if text := HelpText(""); !strings.Contains(text, want) {
		t.Errorf("the help has no such lines:%s\nit is\n%s", want, text)
	}
}

// FuzzParse: whatever is typed, the answer is an invocation or one printable line.
func FuzzParse(f *testing.F) {
	for _, c := range wrongLines {
		f.Add(strings.ReplaceAll(c.args, " ", "\x00"), "CULVERT_BACKEND=a:1")
	}
	f.Add("--listen\x00[::1%\n]:80", "CULVERT_LISTEN=;")
	f.Fuzz(func(t *testing.T, args, variable string) {
		i, err := Parse(strings.Split(args, "\x00"), []string{variable})
		switch {
		case err == nil && (i == nil || i.Command == Run && (len(i.Backends) == 0 && i.Balancing.Discover.Kind == "" && i.ConfigFile == "" || len(i.Settings.Listeners.Listen)+len(i.Settings.TLS.TLSListen) == 0)):
			t.Errorf("accepted %q as %+v", args, i)
		case err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }):
			t.Errorf("not one line: %q", err)
		}
	})
}
