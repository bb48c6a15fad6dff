package route

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"culvert/proxy/http1"
)

// The model is the written precedence, rule by rule over strings, without a table. It shares with the table nothing but
// the reading of the head.

// modelFind answers as found does.
func modelFind(matches []Match, head *http1.RequestHead, isUpgrade bool) int {
	host := strings.TrimSuffix(strings.ToLower(string(head.HostName())), ".")
	domain := ""
	for _, m := range matches {
		ruleHost := modelHost(m)
		suffix, wildcard := strings.CutPrefix(ruleHost, "*")
		switch {
		case !wildcard && ruleHost == host:
			domain = host
		case wildcard && strings.HasSuffix(host, suffix) && domain != host && len(ruleHost) > len(domain):
			domain = ruleHost
		}
	}
	requestPath := normalizeModel(string(head.Path()))
	best, bestLength := noMatch, -1
	for i, m := range matches {
		if rulePath := modelPath(m); modelHost(m) == domain && len(rulePath) > bestLength &&
			modelCovers(rulePath, requestPath) && modelHolds(m, head, isUpgrade) {
			best, bestLength = i, len(rulePath)
		}
	}
	if best == noMatch && domain == "" {
		return defaultAnswer
	}
	return best
}

func modelHost(m Match) string { return strings.TrimSuffix(strings.ToLower(m.Host), ".") }

func modelPath(m Match) string {
	if m.Path == "" {
		return "/"
	}
	return normalizeModel(m.Path)
}

func modelCovers(rulePath, requestPath string) bool {
	return rulePath == "/" || rulePath == requestPath ||
		strings.HasPrefix(requestPath, strings.TrimSuffix(rulePath, "/")+"/")
}

func modelHolds(m Match, head *http1.RequestHead, isUpgrade bool) bool {
	headers, cookies, parameters := map[string][]string{}, map[string][]string{}, map[string][]string{}
	var offered []string
	for i := range head.Len() {
		field := head.At(i)
		name, value := strings.ToLower(string(field.Name)), string(field.Value)
		headers[name] = append(headers[name], value)
		switch name {
		case "sec-websocket-protocol":
			for element := range strings.SplitSeq(value, ",") {
				offered = append(offered, strings.Trim(element, " \t"))
			}
		case "cookie":
			modelPairs(cookies, value, ";", func(s string) string { return strings.Trim(s, " \t") })
		}
	}
	raw, _ := head.Query()
	modelPairs(parameters, string(raw), "&", modelDecode)
	oneOf := func(list []string) bool {
		return slices.ContainsFunc(m.Subprotocols, func(s string) bool { return slices.Contains(list, s) })
	}
	return (len(m.Methods) == 0 || slices.Contains(m.Methods, string(head.Method()))) &&
		(m.Upgrade != OnlyUpgrades || isUpgrade) && (m.Upgrade != NoUpgrades || !isUpgrade) &&
		(len(m.Subprotocols) == 0 || isUpgrade && oneOf(offered)) &&
		modelMeets(m.Headers, headers, strings.ToLower) &&
		modelMeets(m.Cookies, cookies, strings.Clone) && modelMeets(m.Query, parameters, strings.Clone)
}

func modelPairs(into map[string][]string, list, separator string, read func(string) string) {
	for pair := range strings.SplitSeq(list, separator) {
		name, value, _ := strings.Cut(pair, "=")
		into[read(name)] = append(into[read(name)], read(value))
	}
}

// modelDecode decodes a part of a query.
func modelDecode(s string) string {
	s = strings.ReplaceAll(s, "+", " ")
	parts := strings.Split(s, "%")
	decoded := parts[0]
	for _, part := range parts[1:] {
		var c byte
		if len(part) >= 2 && strings.Trim(part[:2], "0123456789abcdefABCDEF") == "" {
			fmt.Sscanf(part[:2], "%02x", &c)
			decoded += string([]byte{c}) + part[2:]
		} else {
			decoded += "%" + part
		}
	}
	return decoded
}

func modelMeets(conditions []Condition, values map[string][]string, read func(string) string) bool {
	for _, c := range conditions {
		list := values[read(c.Name)]
		met := slices.ContainsFunc(list, func(value string) bool {
			return c.Op == Present || c.Op == Equal && value == c.Value || c.Op == Prefix && strings.HasPrefix(value, c.Value)
		})
		if c.Op == Absent {
			met = len(list) == 0
		}
		if !met {
			return false
		}
	}
	return true
}

// dice throws rules and requests that often have to do with one another.
type dice struct{ *rand.Rand }

func (d dice) of(words ...string) string { return words[d.IntN(len(words))] }

// some returns up to two of the words.
func (d dice) some(words ...string) (list []string) {
	for range max(0, d.IntN(6)-3) {
		list = append(list, d.of(words...))
	}
	return list
}

func (d dice) host() string {
	return d.of("a.com", "b.a.com", "c.b.a.com", "com", "d.com", "1.2.3.4", "[::a]", "B.A.com", "a.com.", "x.y.z.b.a.com", "org")
}

func (d dice) path() string {
	path := "/"
	for range d.IntN(4) {
		path += d.of("a", "b", "ab", "c.d", ".b", "a%2Fb") + "/"
	}
	if d.IntN(2) == 0 {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}

// respell writes a path in another way.
func (d dice) respell(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '/':
			out.WriteString(d.of("/", "/", "/", "/", "//", "/./", "/%2e/", "/x/../", "/a/%2E./", "/x//.%2e///"))
		case c == '%':
			out.WriteString(d.of(path[i:i+3], strings.ToLower(path[i:i+3])))
			i += 2
		case d.IntN(4) == 0:
			fmt.Fprintf(&out, d.of("%%%02x", "%%%02X"), c)
		default:
			out.WriteByte(c)
		}
	}
	if s := out.String(); s != "" {
		return s
	}
	return "/"
}

func (d dice) conditions() (list []Condition) {
	for range max(0, d.IntN(5)-3) {
		c := Condition{Name: d.of("a", "A", "b"), Op: Op(d.IntN(4))}
		if c.Op == Equal || c.Op == Prefix {
			c.Value = d.of("1", "12", "x y", "%4")
		}
		list = append(list, c)
	}
	return list
}

func (d dice) match() Match {
	m := Match{
		Methods: d.some("GET", "POST", "HEAD"), Subprotocols: d.some("chat", "Chat", "v2"),
		Headers: d.conditions(), Cookies: d.conditions(), Query: d.conditions(),
	}
	if d.IntN(3) > 0 {
		m.Host = d.of("", "*.") + d.host()
	}
	if d.IntN(4) > 0 {
		m.Path = d.respell(d.path())
	}
	if len(m.Subprotocols) == 0 {
		m.Upgrade = UpgradeMatch(max(0, d.IntN(6)-3))
	}
	return m
}

// request returns the text of a head.
func (d dice) request() string {
	target := d.respell(d.path())
	if d.IntN(2) == 0 {
		target += "?" + d.of("a=1", "a=x+y&b", "%61=1%32&A=%4", "b=x%20y&&a=2", "=&", "")
	}
	text := d.of("GET ", "POST ") + target
	if d.IntN(20) == 0 {
		text = "OPTIONS *"
	}
	if d.IntN(10) == 0 {
		text += " HTTP/1.0\r\n"
	} else {
		text += " HTTP/1.1\r\nHost: " + d.host() + d.of("", ":80") + "\r\n"
	}
	for range d.IntN(4) {
		text += d.of("a: 1", "A: 12", "B: x y", "a:", "Cookie: a=1; b=x y", "Cookie: A", "cookie:  a = 12;b=1",
			"Sec-WebSocket-Protocol: chat, v2", "sec-websocket-protocol: Chat") + "\r\n"
	}
	return text + "\r\n"
}

// table throws up to 30 rules, those that are valid, and builds their table.
func (d dice) table(t testing.TB) ([]Match, *Table) {
	var matches []Match
	for range d.IntN(30) {
		if m := d.match(); m.Validate() == nil {
			matches = append(matches, m)
		}
	}
	return matches, newTable(t, matches...)
}

func TestTableAgreesWithTheWrittenPrecedence(t *testing.T) {
	const seeds, requests = 2000, 40
	answers := map[string]int{}
	for seed := range uint64(seeds) {
		d := dice{rand.New(rand.NewPCG(seed, 1))}
		matches, table := d.table(t)
		covered := map[int]bool{}
		for _, shadow := range table.Unreachable() {
			covered[shadow.Index] = true
		}
		var scratch Scratch
		var head http1.RequestHead
		for range requests {
			text, isUpgrade := d.request(), d.IntN(2) == 0
			head.Reset()
			if _, err := head.Parse([]byte(text), nil); err != nil {
				t.Fatalf("seed %d: %q: %v", seed, text, err)
			}
			want := modelFind(matches, &head, isUpgrade)
			index, result := table.Find(&head, isUpgrade, &scratch)
			if got := found(table, &head, isUpgrade); got != want || result == Matched && index != want {
				t.Fatalf("seed %d: %q, upgrade %v: %d (%d %v), the model says %d, of\n%s", seed, text, isUpgrade, got, index, result,
					want, list(matches))
			}
			if covered[want] {
				t.Fatalf("seed %d: %q follows rule %d, which is called unreachable: %v of\n%s", seed, text, want,
					table.Unreachable(), list(matches))
			}
			answers[result.String()]++
		}
	}
	t.Logf("seeds 0 to %d, %d requests each: %v", seeds-1, requests, answers)
	for _, result := range []Result{Matched, NoMatch, Default} {
		if answers[result.String()] < seeds*requests/100 {
			t.Errorf("only %d of %d requests were answered %q: the dice are loaded", answers[result.String()], seeds*requests, result)
		}
	}
}

func list(matches []Match) string {
	var out strings.Builder
	for i, m := range matches {
		fmt.Fprintf(&out, "%d %+v\n", i, m)
	}
	return out.String()
}

// FuzzFind compares table and model for any head, over rules that a seed throws.
func FuzzFind(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, []byte(dice{rand.New(rand.NewPCG(seed, 2))}.request()), seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, data []byte, isUpgrade bool) {
		var head http1.RequestHead
		if n, err := head.Parse(bytes.Clone(data), nil); n == 0 || err != nil {
			return
		}
		matches, table := dice{rand.New(rand.NewPCG(seed, 1))}.table(t)
		if got, want := found(table, &head, isUpgrade), modelFind(matches, &head, isUpgrade); got != want {
			t.Fatalf("seed %d: %q: %d, the model says %d, of\n%s", seed, data, got, want, list(matches))
		}
	})
}
