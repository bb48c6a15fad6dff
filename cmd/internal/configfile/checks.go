package configfile

import (
	"errors"
	"fmt"
	"strings"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/origin"
	"culvert/proxy/route"
)

// checkTemplate reports what is wrong with a template, and what may have been meant.
func checkTemplate(text string) error {
	err := proxy.CheckTemplate(text)
	if err == nil {
		return nil
	}
	if rest, unknown := strings.CutPrefix(err.Error(), "unknown variable {"); unknown {
		name, _, _ := strings.Cut(rest, "}")
		if near := settings.Nearest(name, proxy.TemplateVariables()); near != "" {
			return fmt.Errorf("unknown variable %s, did you mean {%s}?", settings.Shown("{"+name+"}"), near)
		}
	}
	return err
}

// wrongHost says why a template, which is well formed, cannot be sent as Host; "": it can.
func wrongHost(text string) string {
	for text != "" {
		literal, rest, _ := strings.Cut(text, "{")
		if strings.Contains(literal, "://") {
			return "a host is named without a scheme"
		}
		for _, c := range literal {
			if !strings.ContainsRune("-._:[]", c) && (c > 'z' || c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a') {
				return fmt.Sprintf("%q cannot stand in a host", c)
			}
		}
		if strings.HasPrefix(rest, "{") {
			return "'{' cannot stand in a host"
		}
		name, after, _ := strings.Cut(rest, "}")
		switch name {
		case "uri", "path", "query", "scheme", "method":
			return "{" + name + "} cannot stand in a host"
		}
		text = after
	}
	return ""
}

// headerHelp says what to do instead of editing a header, by the beginning of its name.
var headerHelp = []struct{ name, help string }{
	{"host", "rewrite-host sets it"}, {"forwarded", "the switch forwarded sets it"}, {"via", "the switch via sets it"},
	{"x-request-id", "the switch request-id sets it"}, {"x-forwarded-", "it tells of the client, by what trusted-proxies says"},
	{"slb-", "slb-id sets it"},
}

// checkHeaderEdit reports what is wrong with an edit. The error names the header.
func checkHeaderEdit(e proxy.HeaderEdit) error {
	if err := proxy.CheckHeaderEdit(proxy.HeaderEdit{Op: proxy.HeaderRemove, Name: e.Name}); err != nil {
		name := strings.ReplaceAll(strings.ToLower(e.Name), "_", "-")
		for _, known := range headerHelp {
			if name == known.name || strings.HasSuffix(known.name, "-") && strings.HasPrefix(name, known.name) {
				return fmt.Errorf("%s cannot be edited: %s", e.Name, known.help)
			}
		}
		return err
	}
	if e.Op == proxy.HeaderRemove {
		return nil
	}
	err := checkTemplate(e.Value) // which says more than what follows
	if err == nil {
		err = proxy.CheckHeaderEdit(e)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	return nil
}

const originAllowed = "origins such as https://app.example.com or https://*.example.com:8443, same-host (the request's own Host), none (requests without Origin); or any, alone"

// checkOrigin reports what is wrong with one of the allowed origins.
func checkOrigin(text string) error {
	_, err := origin.New([]string{text})
	if err == nil {
		return nil
	}
	if text == "*" {
		return errors.New("to allow all, write any") // an empty list is refused here
	}
	if near := settings.Nearest(text, []string{"same-host", "none", "any"}); near != "" {
		return fmt.Errorf("did you mean %s?", near)
	}
	// What is allowed is said here in another way, and the text was named before.
	reason := strings.TrimPrefix(err.Error(), fmt.Sprintf("origin: %q: ", text))
	reason, _, _ = strings.Cut(reason, "; allowed are")
	return errors.New(reason)
}

// unreachable returns the rules of a listener that no request ever reaches, each with an earlier one that takes all of
// theirs.
func unreachable(matches []route.Match) []route.Shadow {
	table, err := route.New(matches)
	if err != nil {
		return nil // each was found well formed before
	}
	return table.Unreachable()
}
