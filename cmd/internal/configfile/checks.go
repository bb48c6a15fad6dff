package configfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/route"
)

// variables are what may stand in braces in a template.
var variables = []string{"client", "client-port", "host", "host-name", "port", "scheme", "uri", "path", "query", "method", "id"}

// checkTemplate reports what is wrong with a template.
func checkTemplate(text string) error {
	if i := strings.IndexFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }); i >= 0 {
		return fmt.Errorf("the control character %q cannot stand in a header", text[i])
	}
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			return nil
		}
		rest = rest[i:]
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}") {
			rest = rest[2:]
			continue
		}
		end := strings.IndexByte(rest, '}')
		if rest[0] == '}' || end < 0 {
			return errors.New("a brace without its partner; a brace itself is written twice, {{ or }}")
		}
		name := rest[1:end]
		if !slices.Contains(variables, name) {
			if near := settings.Nearest(name, variables); near != "" {
				return fmt.Errorf("unknown variable %s, did you mean {%s}?", settings.Shown("{"+name+"}"), near)
			}
			return fmt.Errorf("unknown variable %s; allowed: {%s}; a brace itself is written twice", settings.Shown("{"+name+"}"), strings.Join(variables, "}, {"))
		}
		rest = rest[end+1:]
	}
	return nil
}

// ruledHeaders cannot be edited; of ruledPrefixes whole families.
var (
	ruledHeaders = []string{
		"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host", "expect",
		"forwarded", "x-real-ip", "via", "x-request-id", "max-forwards",
	}
	ruledPrefixes = []string{"proxy-", "sec-websocket-", "x-forwarded-", "slb-"}
)

// headerHelp says what to do instead, where there is something.
var headerHelp = map[string]string{
	"host": "rewrite-host sets it", "forwarded": "the switch forwarded sets it", "via": "the switch via sets it",
	"x-request-id": "the switch request-id sets it", "x-forwarded-": "they are set by what trusted-proxies says",
	"x-real-ip": "X-Forwarded-For says it", "slb-": "slb-id sets them",
}

// checkHeaderEdit reports what is wrong with an edit.
func checkHeaderEdit(e proxy.HeaderEdit) error {
	if !isToken(e.Name) {
		return errors.New("not a header's name; allowed: letters, digits and any of !#$%&'*+-.^_`|~")
	}
	name := strings.ReplaceAll(strings.ToLower(e.Name), "_", "-")
	for _, ruled := range slices.Concat(ruledHeaders, ruledPrefixes) {
		if name == ruled || strings.HasSuffix(ruled, "-") && strings.HasPrefix(name, ruled) {
			help := headerHelp[ruled]
			if help == "" {
				help = "the protocol rules it"
			}
			return errors.New("this header cannot be edited: " + help)
		}
	}
	if e.Op == proxy.HeaderRemove {
		return nil
	}
	return checkTemplate(e.Value)
}

// isToken reports whether a text is a token (RFC 9110 5.6.2).
func isToken(text string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(marks, c))
	})
}

const originAllowed = "origins such as https://app.example.com, same-host (the request's own Host), none (requests without Origin)"

// checkOrigin reports what is wrong with one of the allowed origins.
func checkOrigin(text string) error {
	if text == "same-host" || text == "none" {
		return nil
	}
	scheme, host, ok := strings.Cut(text, "://")
	if !ok {
		if near := settings.Nearest(text, []string{"same-host", "none", "any"}); near != "" {
			return fmt.Errorf("did you mean %s?", near)
		}
		return errors.New("a scheme is missing, such as https://")
	}
	if scheme != "https" && scheme != "http" {
		return errors.New("the scheme is http or https")
	}
	if strings.ContainsAny(host, "/?#@") {
		return errors.New("an origin ends with the host or the port")
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		port := host[i+1:]
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return fmt.Errorf("%s is not a port", settings.Shown(port))
		}
		host = host[:i]
	}
	if host == "" {
		return errors.New("a host is missing")
	}
	return route.Match{Host: host}.Validate()
}

// unreachable returns the rules of a listener, by index, that no request ever reaches, each with an earlier one that
// takes all of theirs.
func unreachable([]route.Match) map[int]int { return nil }
