package configfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
)

// Sticky is what is said of stickiness. The file of keys is as the configuration names it.
type Sticky struct {
	place
	proxy.Stickiness

	keyPlace place
}

// What is wrong with a number.
var (
	errNoNumber = errors.New("not a number")
	errBelow    = errors.New("below the minimum")
	errAbove    = errors.New("above the maximum")
)

const (
	cookieRewrite  = "rewrite"
	stickyHelp     = "Brings clients back to the server that they had, by a cookie of ours or by the server's own."
	cookiePathText = "a path such as /chat"
)

// sameSites are the values of the attribute by the words that a file has for them.
var sameSites = []struct{ word, value string }{{"lax", "Lax"}, {"strict", "Strict"}, {"none", "None"}}

// stickyFields are the keys of stickiness.
var stickyFields = sync.OnceValue(func() []field[Sticky] {
	return append([]field[Sticky]{
		wordField("cookie", "insert (the default), rewrite", "Whether a cookie of ours is added, or the server's own is marked.",
			func(to *Sticky, word string) { to.Rewrite = word == cookieRewrite }, "insert", cookieRewrite),
		rangeField("name", "1 to 200 letters, digits and signs of a token", textShape, "The cookie's name; `SERVERID`, if none is given. Required with `rewrite`.",
			func(text string) (string, error) {
				s, err := settings.Decode[settings.Sticky]("sticky", "rewrite:"+text)
				if err != nil {
					reason, _ := settings.Reasons(err)
					return "", errors.New(reason)
				}
				return s.Name, nil
			}, func(to *Sticky, name string) { to.Name = name }),
		flagField("lifetime", "sticky-lifetime", "How long a cookie of ours is honoured; 0, if not given.", func(to *Sticky, d time.Duration) { to.Lifetime = d }),
		{
			key: "key-file", shape: textShape, allowed: flagNamed("sticky-key-file").Allowed,
			help: "Keys that sign cookies, shared between machines; `off`, if not given: a key of this process alone, so that clients of another one, or of one before, are spread anew.",
			read: func(r *reader, n *node, to *Sticky) {
				name, _ := decoded[settings.FileName](r, n, "sticky-key-file")
				to.KeyFile, to.keyPlace = string(name), n.place
			},
		},
	}, attributeFields()...)
})

// attributeFields are those of a cookie of ours.
func attributeFields() []field[Sticky] {
	return []field[Sticky]{
		rangeField("domain", "a domain such as example.com", textShape, "The cookie's Domain; that of the page, if none is given.", func(text string) (string, error) {
			if !settings.HostName(text) || strings.Contains(text, "_") || strings.HasSuffix(text, ".") {
				return "", errors.New("no domain")
			}
			return text, nil
		}, func(to *Sticky, domain string) { to.Domain = domain }),
		rangeField("path", cookiePathText, textShape, "The cookie's Path; `/`, if none is given.", readCookiePath, func(to *Sticky, path string) { to.Path = path }),
		wordField("same-site", "lax, strict, none", "The cookie's SameSite; no such attribute, if it is not given.", func(to *Sticky, word string) {
			for _, s := range sameSites {
				if s.word == word {
					to.SameSite = s.value
				}
			}
		}, "lax", "strict", "none"),
		booleanField("secure", "Have browsers send it by HTTPS only; who has come by HTTPS does so in any case. `false`, if not given.",
			func(to *Sticky, yes bool) { to.Secure = yes }),
		booleanField("http-only", "Hide it from scripts; `true`, if not given.", func(to *Sticky, yes bool) { to.HTTPOnly = yes }),
	}
}

func readCookiePath(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		return "", errors.New("no path")
	}
	for _, c := range text {
		if c <= ' ' || c >= 0x7f || c == ';' || c == ',' {
			return "", fmt.Errorf("%+q cannot stand in a cookie's path", c)
		}
	}
	return text, nil
}

func stickyShape() shape {
	return anyOf(shape{"type": "string", "pattern": "^(off|insert|(insert|rewrite):.+)$"}, ref("sticky"))
}

func stickyAllowed() string { return flagNamed("sticky").Allowed + orBalancing }

// stickyOf translates the short form; nil: off. Scripts have no business with a cookie of ours.
func stickyOf(at place, s settings.Sticky) *Sticky {
	if s.Cookie == "" {
		return nil
	}
	rewrite := s.Cookie == cookieRewrite
	return &Sticky{place: at, Stickiness: proxy.Stickiness{Rewrite: rewrite, Name: s.Name, HTTPOnly: !rewrite}}
}

// sticky reads a word, or a mapping; nil: off, or wrong.
func (r *reader) sticky(n *node) *Sticky {
	if !r.wordOrMapping(n) {
		return nil
	}
	if n.kind == scalar {
		word, ok := decoded[settings.Sticky](r, n, "sticky")
		if !ok {
			return nil
		}
		return stickyOf(n.place, word)
	}
	s := stickyOf(n.place, settings.Sticky{Cookie: "insert"})
	before := len(r.problems.Errors())
	values, ok := readMapping(r, n, stickyFields(), s)
	if !ok || len(r.problems.Errors()) > before {
		return nil
	}
	if !s.Rewrite {
		r.checkCookie(s, values)
		return s
	}
	s.HTTPOnly = false
	if s.Name == "" {
		r.fail(n.place, "sticky: cookie: rewrite needs the name of the server's own cookie; say it by name")
	}
	for _, f := range append(attributeFields(), field[Sticky]{key: "lifetime"}) {
		if values[f.key] != nil {
			r.fail(values[f.key].place, "%s: with cookie: rewrite it is for the server to say, whose cookie it is", f.key)
		}
	}
	return s
}

// checkCookie looks whether browsers would take a cookie of ours.
func (r *reader) checkCookie(s *Sticky, values map[string]*node) {
	if s.SameSite == "None" && !s.Secure {
		r.fail(values["same-site"].place, "same-site: browsers take a cookie of SameSite=None with Secure only; say secure: true")
	}
	if settings.NeedsSecure(s.Name) && !s.Secure {
		r.fail(values["name"].place, "name %s: browsers take a cookie of such a name with Secure only; say secure: true", s.Name)
	}
	if strings.HasPrefix(s.Name, "__Host-") && (s.Domain != "" || s.Path != "" && s.Path != "/") {
		r.fail(values["name"].place, "name %s: browsers take a cookie of such a name for the whole of one host only, without domain and path", s.Name)
	}
}

// text writes it as a file says it.
func (s *Sticky) text(path func(string) string) string {
	if s.Off {
		return off
	}
	keyFile := ""
	if s.KeyFile != "" {
		keyFile = ", key-file: " + quote(path(s.KeyFile))
	}
	if s.Rewrite {
		return "{cookie: rewrite, name: " + quote(s.Name) + keyFile + "}"
	}
	parts := []string{"cookie: insert"}
	for _, one := range []struct{ key, text string }{{"name", s.Name}, {"domain", s.Domain}, {"path", s.Path}, {"same-site", strings.ToLower(s.SameSite)}} {
		if one.text != "" {
			parts = append(parts, one.key+": "+quote(one.text))
		}
	}
	parts = append(parts, "lifetime: "+settings.DurationText(s.Lifetime), "secure: "+strconv.FormatBool(s.Secure), "http-only: "+strconv.FormatBool(s.HTTPOnly))
	return "{" + strings.Join(parts, ", ") + keyFile + "}"
}
