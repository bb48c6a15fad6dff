package configfile

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"culvert/cmd/internal/settings"
	"culvert/proxy"
	"culvert/proxy/access"
	"culvert/proxy/route"
)

// Effective returns the configuration that counts, as a file would say it; behind each setting stands where it comes
// from. Secrets are masked.
func Effective(f *File, i *settings.Invocation) string {
	served := Served(f, i)
	p := &printer{mask: true, path: served.path}
	p.line(0, "# What counts, from %s; behind each setting, where it comes from.", sourcesOf(i))
	p.settings(i.Effective())
	p.served(served)
	return p.b.String()
}

func sourcesOf(i *settings.Invocation) string {
	if i.ConfigFile == "" {
		return "flags, the environment and defaults"
	}
	return "flags, the environment, " + printable(i.ConfigFile) + " and defaults"
}

// Text returns the file anew, without comments, secrets included.
func (f *File) Text() string {
	p := &printer{path: func(name string) string { return name }}
	var values []settings.EffectiveValue
	for _, section := range sections() {
		for _, flag := range section.flags {
			for _, s := range f.Settings {
				if s.Flag == flag.Name {
					values = append(values, settings.EffectiveValue{Flag: flag, Items: s.Items})
				}
			}
		}
	}
	p.settings(values)
	p.served(f)
	if p.b.Len() == 0 {
		return "{}\n" // nothing, said on purpose
	}
	return p.b.String()
}

// printer writes YAML, two blanks a level.
type printer struct {
	b    strings.Builder
	mask bool
	// path returns what is printed of the name of a file.
	path func(name string) string
}

func (p *printer) line(depth int, format string, values ...any) {
	p.b.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&p.b, format, values...)
	p.b.WriteByte('\n')
}

// item writes the first line of a mapping in a list, and returns what writes the others.
func (p *printer) item(depth int) func(key, value string) {
	mark := "- "
	return func(key, value string) {
		if value != "" {
			value = " " + value
		}
		p.line(depth, "%s%s:%s", mark, quote(key), value)
		mark = "  "
	}
}

func (p *printer) settings(values []settings.EffectiveValue) {
	section := ""
	for _, v := range values {
		if s := v.Flag.Section(); s != section {
			section = s
			p.line(0, "%s:", section)
		}
		comment := ""
		if v.Origin != "" {
			comment = "  # " + printable(v.Origin)
		}
		p.line(1, "%s: %s%s", v.Flag.Name, settingText(Setting{Flag: v.Flag.Name, Items: v.Items}), comment)
	}
}

func settingText(s Setting) string {
	if flagNamed(s.Flag).List {
		return quoteList(s.Items)
	}
	return quote(s.Items[0])
}

func (p *printer) served(f *File) {
	if len(f.Listeners) > 0 {
		p.line(0, "listeners:")
	}
	for i := range f.Listeners {
		p.listener(&f.Listeners[i])
	}
	if len(f.Groups) > 0 {
		p.line(0, "groups:")
	}
	for i := range f.Groups {
		p.group(&f.Groups[i])
	}
}

func (p *printer) listener(l *Listener) {
	put := p.item(1)
	put("address", quote(settings.AddressText(l.Address)))
	putText(put, "name", l.Name)
	putText(put, "group", l.Group)
	putAccess(put, l.Access)
	if l.ProxyProtocol {
		put("proxy-protocol", "required")
	}
	if len(l.ProxyProtocolFrom) > 0 {
		put("proxy-protocol-from", quotePrefixes(l.ProxyProtocolFrom))
	}
	p.https(put, l)
	putPolicy(put, l.Policy)
	if len(l.Rules) > 0 {
		put("rules", "")
	}
	for i := range l.Rules {
		p.rule(&l.Rules[i])
	}
}

// https writes what a listener says of HTTPS.
func (p *printer) https(put func(key, value string), l *Listener) {
	if l.HTTPSRedirect != 0 {
		put("https-redirect", strconv.Itoa(l.HTTPSRedirect))
	}
	if l.HTTPSPort != 0 {
		put("https-port", strconv.Itoa(int(l.HTTPSPort)))
	}
	t := l.TLS
	if t == nil {
		return
	}
	put("tls", "")
	if len(t.Certificates.Pairs) > 0 {
		p.line(3, "certificates:")
	}
	for _, pair := range t.Certificates.Pairs {
		p.line(4, "- {cert: %s, key: %s}", quote(p.path(pair.CertFile)), quote(p.path(pair.KeyFile)))
	}
	if len(t.Certificates.Folders) > 0 {
		folders := make([]string, len(t.Certificates.Folders))
		for i, folder := range t.Certificates.Folders {
			folders[i] = p.path(folder)
		}
		p.line(3, "folders: %s", quoteList(folders))
	}
	for _, one := range []struct {
		said       bool
		key, value string
	}{
		{t.Certificates.Strict, "strict-sni", "true"}, {t.Policy != "", "policy", t.Policy}, {t.ClientCA != "", "client-ca", quote(p.path(t.ClientCA))},
		{t.ClientOptional, "client-auth", "optional"}, {t.HSTS != 0, "hsts", settings.DurationText(t.HSTS)}, {t.HSTSSubdomains, "hsts-subdomains", "true"},
	} {
		if one.said {
			p.line(3, "%s: %s", one.key, one.value)
		}
	}
}

func putText(put func(key, value string), key, text string) {
	if text != "" {
		put(key, quote(text))
	}
}

func putAccess(put func(key, value string), lists access.Lists) {
	if lists.HasWhite {
		put("allow", quotePrefixes(lists.White))
	}
	if len(lists.Black) > 0 {
		put("deny", quotePrefixes(lists.Black))
	}
}

func putPolicy(put func(key, value string), policy []Setting) {
	for _, s := range policy {
		put(s.Flag, settingText(s))
	}
}

func (p *printer) rule(rule *Rule) {
	put := p.item(3)
	p.action(put, rule)
	putText(put, "name", rule.Name)
	p.match(put, &rule.Match)
	putAccess(put, rule.Access)
	switch {
	case rule.AnyOrigin:
		put("allowed-origins", "any")
	case len(rule.AllowedOrigins) > 0:
		put("allowed-origins", quoteList(rule.AllowedOrigins))
	}
	if rule.Requests != 0 {
		put("requests-per-second", strconv.Itoa(rule.Requests))
	}
	p.edits(put, "request-headers", rule.RequestHeaders)
	p.edits(put, "answer-headers", rule.AnswerHeaders)
	putText(put, "rewrite-host", rule.Host)
	if rule.Rewrite != nil {
		put("rewrite-path", quote(*rule.Rewrite))
	}
	if len(rule.ErrorBodies) > 0 {
		put("error-bodies", "")
		for _, status := range slices.Sorted(maps.Keys(rule.ErrorBodies)) {
			p.line(5, "%d:", status)
			p.body(6, rule.ErrorBodies[status])
		}
	}
	if rule.Schedule != nil {
		put("schedule", scheduleText(*rule.Schedule))
	}
	if rule.Sticky != nil {
		put("sticky", rule.Sticky.text(p.path))
	}
	putPolicy(put, rule.Policy)
}

func (p *printer) action(put func(key, value string), rule *Rule) {
	switch {
	case rule.Redirect != nil:
		put("redirect", fmt.Sprintf("{status: %d, location: %s}", rule.Redirect.Status, quote(rule.Redirect.Location)))
	case rule.Answer != nil:
		put("answer", "")
		p.line(5, "status: %d", rule.Answer.Status)
		p.body(5, rule.Answer.Body)
		if len(rule.Answer.Headers) > 0 {
			p.line(5, "headers:")
			for _, edit := range rule.Answer.Headers {
				p.line(6, "%s: %s", quote(edit.Name), p.value(edit))
			}
		}
	default:
		put("group", quote(rule.Group))
	}
}

func (p *printer) body(depth int, body Body) {
	if file := body.File; file != "" {
		p.line(depth, "body-file: %s", quote(p.path(file)))
	} else if body.Bytes != nil {
		p.line(depth, "body: %s", quote(string(body.Bytes)))
	}
	if body.ContentType != "" {
		p.line(depth, "content-type: %s", quote(body.ContentType))
	}
}

func (p *printer) match(put func(key, value string), m *route.Match) {
	putText(put, "host", m.Host)
	putText(put, "path", m.Path)
	if len(m.Methods) > 0 {
		put("method", quoteList(m.Methods))
	}
	for _, kind := range []struct {
		key  string
		list []route.Condition
	}{{"headers", m.Headers}, {"cookies", m.Cookies}, {"query", m.Query}} {
		if len(kind.list) == 0 {
			continue
		}
		put(kind.key, "")
		for _, c := range kind.list {
			p.line(5, "%s: %s", quote(c.Name), p.condition(c))
		}
	}
	if m.Upgrade != route.Any {
		put("upgrade", strconv.FormatBool(m.Upgrade == route.OnlyUpgrades))
	}
	if len(m.Subprotocols) > 0 {
		put("subprotocol", quoteList(m.Subprotocols))
	}
}

func (p *printer) condition(c route.Condition) string {
	value := quote(c.Value)
	if p.mask && secret(c.Name) {
		value = masked
	}
	switch c.Op {
	case route.Present:
		return "{present: true}"
	case route.Absent:
		return "{absent: true}"
	case route.Prefix:
		return "{prefix: " + value + "}"
	}
	return value
}

// edits writes the edits of a head, which keep their order: of each kind, those that follow one another stand together.
func (p *printer) edits(put func(key, value string), key string, edits []proxy.HeaderEdit) {
	if len(edits) == 0 {
		return
	}
	put(key, "")
	for len(edits) > 0 {
		op := edits[0].Op
		n := 0
		for n < len(edits) && edits[n].Op == op {
			n++
		}
		p.editsOfKind(op, edits[:n])
		edits = edits[n:]
	}
}

func (p *printer) editsOfKind(op proxy.HeaderOp, edits []proxy.HeaderEdit) {
	if op == proxy.HeaderRemove {
		var names []string
		for _, edit := range edits {
			names = append(names, edit.Name)
		}
		p.line(5, "remove: %s", quoteList(names))
		return
	}
	p.line(5, "%s:", map[proxy.HeaderOp]string{proxy.HeaderSet: "set", proxy.HeaderAdd: "add"}[op])
	for len(edits) > 0 {
		var values []string
		name := edits[0].Name
		for len(edits) > 0 && edits[0].Name == name {
			values = append(values, p.value(edits[0]))
			edits = edits[1:]
		}
		text := values[0]
		if len(values) > 1 {
			text = "[" + strings.Join(values, ", ") + "]"
		}
		p.line(6, "%s: %s", quote(name), text)
	}
}

func (p *printer) value(edit proxy.HeaderEdit) string {
	if p.mask && secret(edit.Name) {
		return masked
	}
	return quote(edit.Value)
}

// masked stands for a value that is nobody's business.
const masked = `"(masked)"`

// secret reports whether the value of a header, a cookie or a parameter of this name may be one.
func secret(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "authorization", "cookie", "set-cookie", "proxy-authorization":
		return true
	}
	return slices.ContainsFunc([]string{"token", "secret", "key", "password"}, func(part string) bool { return strings.Contains(name, part) })
}

func quotePrefixes(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		texts[i] = prefix.String()
	}
	return quoteList(texts)
}

func quoteList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// plain are the texts that need no quotes, wherever they stand.
var plain = regexp.MustCompile(`^[A-Za-z0-9/._][A-Za-z0-9/._-]*(:[0-9]+)?$`)

// quote writes a scalar.
func quote(text string) string {
	if plain.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c > '~' && c <= 0xffff && !strconv.IsPrint(c) || c == 0xfeff:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
