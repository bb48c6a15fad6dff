package configfile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/tls/authorities"
	"culvert/tls/certs"
	"culvert/tls/tickets"
)

// namedFile is a file, or a folder, that the configuration names.
type namedFile struct {
	place
	key     string // that it stands under; in flags, see flagOf
	written string
	path    string // where it is
}

// flagOf are the flags that say what a file says by these keys.
var flagOf = map[string]string{
	"cert": "tls-cert", "key": "tls-key", "folders": "tls-dir", "client-ca": "tls-client-ca", "ca": "backend-ca", "tls-ticket-keys": "tls-ticket-keys",
	"key-file": "sticky-key-file", "file": "discover", "admin-token-file": "admin-token-file",
}

// finding is what was found in one.
type finding struct {
	namedFile
	reason  string
	warning bool
}

// message says it without the place.
func (f *finding) message() string { return f.key + " " + f.written + ": " + f.reason }

// inspect reads the files that the proxy will need, and returns what is wrong with them, or to be doubted.
func (f *File) inspect(now time.Time) []finding {
	var found []finding
	for i := range f.Listeners {
		for j := range f.Listeners[i].Rules {
			found = append(found, f.inspectCookieKeys(f.Listeners[i].Rules[j].Sticky)...)
		}
		if t := f.Listeners[i].TLS; t != nil {
			found = append(found, f.inspectCertificates(t, now)...)
			found = append(found, f.inspectAuthorities(namedFile{t.caPlace, "client-ca", t.ClientCA, ""}, now, true)...)
		}
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		found = append(found, f.inspectBackendCA(g.OverTLS, now)...)
		found = append(found, f.inspectCookieKeys(g.Sticky)...)
		found = append(found, f.inspectList(g.Discovery)...)
		for j := range g.Servers {
			found = append(found, f.inspectBackendCA(g.Servers[j].OverTLS, now)...)
		}
	}
	for _, s := range f.Settings {
		if len(s.Items) == 0 || s.Items[0] == flagNamed(s.Flag).Default {
			continue
		}
		one := namedFile{s.place, s.Flag, s.Items[0], FilePath(f.Name, s.Items[0])}
		switch s.Flag {
		case "tls-ticket-keys":
			found = append(found, inspectTicketKeys(one, now)...)
		case "admin-token-file":
			found = append(found, inspectToken(one)...)
		}
	}
	return found
}

func (f *File) inspectCertificates(t *ListenerTLS, now time.Time) []finding {
	if t.SelfSigned || len(t.Certificates.Pairs)+len(t.Certificates.Folders) == 0 {
		return nil
	}
	var named []namedFile
	at := func(places []place, n int) place {
		if n < len(places) { // flags have none
			return places[n]
		}
		return place{}
	}
	for n, pair := range t.Certificates.Pairs {
		named = append(named, namedFile{at(t.pairs, 2*n), "cert", pair.CertFile, f.path(pair.CertFile)},
			namedFile{at(t.pairs, 2*n+1), "key", pair.KeyFile, f.path(pair.KeyFile)})
	}
	for n, folder := range t.Certificates.Folders {
		named = append(named, namedFile{at(t.folders, n), "folders", folder, f.path(folder)})
	}
	store, err := certs.Load(f.source(&t.Certificates), now)
	if err != nil {
		return findingsOf(named, err, false)
	}
	var found []finding
	for _, w := range append(store.Expiring(now), store.Warnings()...) {
		found = append(found, findingOf(named, w.String(), true))
	}
	return found
}

func (f *File) inspectBackendCA(t *BackendTLS, now time.Time) []finding {
	if t == nil || t.CA == nil {
		return nil
	}
	return f.inspectAuthorities(namedFile{t.caPlace, "ca", *t.CA, ""}, now, false)
}

// inspectAuthorities reads a file of authorities: of clients, or of servers, of which any certificate may be one.
func (f *File) inspectAuthorities(one namedFile, now time.Time, clients bool) []finding {
	if one.written == "" {
		return nil
	}
	one.path = f.path(one.written)
	bundle, err := authorities.Load(one.path)
	if err != nil {
		return findingsOf([]namedFile{one}, err, false)
	}
	var found []finding
	for _, text := range bundle.Warnings(now) {
		if clients || !strings.Contains(text, " is no authority: ") {
			found = append(found, findingOf([]namedFile{one}, one.path+": "+text, true))
		}
	}
	return found
}

func inspectTicketKeys(one namedFile, now time.Time) []finding {
	if _, err := tickets.New(tickets.Options{File: one.path, Clock: func() time.Time { return now }}); err != nil {
		return findingsOf([]namedFile{one}, err, false)
	}
	return nil
}

// findingsOf takes apart an error of which each line begins with the path of what it is about.
func findingsOf(named []namedFile, err error, warning bool) []finding {
	var found []finding
	for line := range strings.Lines(err.Error()) {
		found = append(found, findingOf(named, strings.TrimSuffix(line, "\n"), warning))
	}
	return found
}

// findingOf finds out which file a line is about, and puts the names that were written in the place of paths.
func findingOf(named []namedFile, line string, warning bool) finding {
	longest := slices.SortedStableFunc(slices.Values(named), func(a, b namedFile) int { return cmp.Compare(len(b.path), len(a.path)) })
	for _, one := range longest {
		rest, ok := strings.CutPrefix(line, strings.TrimSuffix(one.path, "/"))
		if !ok || rest == "" || !strings.ContainsRune(" :/", rune(rest[0])) {
			continue
		}
		reason := strings.TrimLeft(rest, " :/")
		for _, other := range longest {
			if other.path != other.written {
				reason = strings.ReplaceAll(reason, other.path, other.written)
			}
		}
		return finding{one, reason, warning}
	}
	return finding{named[0], line, warning}
}

// FlagFiles returns what is wrong with the files that flags and variables name, a line each. Those that the file
// names, which may be nil, Load has looked at.
func FlagFiles(f *File, i *settings.Invocation, now time.Time) []string {
	if i.Settings == nil {
		return nil
	}
	served := Served(f, i)
	var found []finding
	if !served.HasSite() {
		flagged := *served
		flagged.Settings = nil
		found = flagged.inspect(now)
	}
	keys := string(i.Settings.TLS.TLSTicketKeys)
	if keys != "" && !i.FromFile("tls-ticket-keys") {
		found = append(found, inspectTicketKeys(namedFile{place{}, "tls-ticket-keys", keys, keys}, now)...)
	}
	if token := string(i.Settings.Admin.AdminTokenFile); token != "" && !i.FromFile("admin-token-file") {
		found = append(found, inspectToken(namedFile{place{}, "admin-token-file", token, token})...)
	}
	var lines []string
	for _, one := range found {
		if line := "culvert: " + printable(i.Wrong(flagOf[one.key], one.written, one.reason).Error()); !one.warning && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}
