package configfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/cmd/internal/configfile/configtest"
	"culvert/cmd/internal/settings"
)

const ticketKeys = "culvert-ticket-keys 1\n2026-06-01T00:00:00Z 5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592\n"

// certificates makes a folder with certificates of every kind, good and bad, and returns it with the ends of two of them.
func certificates(t *testing.T) (folder string, soon, over time.Time) {
	t.Helper()
	soon, over = time.Now().UTC().Add(10*24*time.Hour+time.Hour), time.Now().UTC().Add(-time.Minute)
	folder = t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	year := time.Now().AddDate(1, 0, 0)
	configtest.Certificate(t, "a.example", year, in("a.crt"), in("a.key"))
	configtest.Certificate(t, "b.example", year, in("b.crt"), in("b.key"))
	configtest.Certificate(t, "soon.example", soon, in("soon.crt"), in("soon.key"))
	configtest.Certificate(t, "over.example", over, in("over.crt"), in("over.key"))
	configtest.Certificate(t, "c.example", year, in("good/c.crt"), in("good/c.key"))
	configtest.Certificate(t, "d.example", year, in("bad/d.crt"), "")
	configtest.Certificate(t, "e.example", year, in("bad/e.crt"), in("bad/e.key"))
	for name, text := range map[string]string{"empty.pem": "", "keys": ticketKeys, "open": ticketKeys, "bad/f.key": "x"} {
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(in("open"), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder, soon, over
}

// TestFilesOfHTTPSAreRead: as the proxy will, from the folder of the configuration, and each mistake is told at its place.
func TestFilesOfHTTPSAreRead(t *testing.T) {
	folder, soon, over := certificates(t)
	config := filepath.Join(folder, "c.yaml")
	const groups = "\ngroups: {a: {servers: [a:1]}}\n"
	listener := func(tls string) string {
		return "listeners: [{address: \":443\", group: a, tls: {" + tls + "}}]" + groups
	}
	for _, c := range []struct{ text, want string }{
		{listener("certificates: {cert: a.crt, key: a.key}, folders: good, client-ca: b.crt"), ""},
		{listener("certificates: {cert: " + folder + "/a.crt, key: " + folder + "/a.key}"), ""},
		{listener("certificates: [{cert: a.crt, key: b.key}, {cert: a.key, key: a.crt}, {cert: empty.pem, key: a.key}]"),
			"1:69: cert a.crt: the private key in b.key does not match the certificate \"a.example\"\n" +
				"1:96: cert a.key: holds a private key and no certificate: are the two files swapped?\n" +
				"1:123: cert empty.pem: holds no PEM (lines from -----BEGIN to -----END)"},
		{listener("certificates: {cert: a.crt, key: a.crt}"), "1:68: cert a.crt: holds no private key, and there is no file for it: put it into the same file, or beside it as a.key"},
		{listener("certificates: {cert: a.crt, key: none.key}"), "1:80: key none.key: does not exist"},
		{listener("folders: [good/, bad]"), "1:64: folders bad: f.key has no certificate beside it: f.crt or f.pem\n" +
			"1:64: folders bad: d.crt holds no private key, and there is no file for it: put it into the same file, or beside it as d.key"},
		{listener("folders: good, client-ca: empty.pem"), "1:73: client-ca empty.pem: holds no certificate in PEM: nobody could be believed"},
		{listener("folders: good, client-ca: a.key"), "1:73: client-ca a.key: holds a PRIVATE KEY: only certificates of authorities belong there"},
		{listener("certificates: [{cert: soon.crt, key: soon.key}, {cert: over.crt, key: over.key}], client-ca: over.crt"),
			"1:69: warning: cert soon.crt: the certificate \"soon.example\" expires in 10 days, on " + soon.Format("2006-01-02 15:04") + " UTC\n" +
				"1:102: warning: cert over.crt: the certificate \"over.example\" has expired on " + over.Format("2006-01-02 15:04") + " UTC\n" +
				"1:140: warning: client-ca over.crt: the authority \"CN=over.example\" has expired on " + over.Format(time.DateOnly)},
		{"listeners: [{address: \":80\", group: a}]\ngroups: {a: {tls: {ca: empty.pem}, servers: [\"https://a:1\", {address: \"https://b:1\", tls: {ca: over.crt}}]}}",
			"2:24: ca empty.pem: holds no certificate in PEM: nobody could be believed"},
		{"tls: {tls-ticket-keys: keys}", ""},
		{"tls: {tls-ticket-keys: \"off\"}", ""},
		{"tls: {tls-ticket-keys: a.crt}", "1:24: tls-ticket-keys a.crt: is no file of ticket keys: the first line of one is \"culvert-ticket-keys 1\""},
		{"tls: {tls-ticket-keys: open}", "1:24: tls-ticket-keys open: every user of this machine may read or write the ticket keys (mode 0644), and with them read recorded connections: chmod o= on it"},
	} {
		if err := os.WriteFile(config, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		ok := Check(config, false, &stdout, &stderr)
		var told []string
		for line := range strings.Lines(strings.ReplaceAll(stderr.String(), config+":", "")) {
			if !strings.Contains(line, "a page of any origin") {
				told = append(told, strings.TrimSuffix(line, "\n"))
			}
		}
		if got := strings.Join(told, "\n"); got != c.want || ok == (c.want != "" && !strings.Contains(c.want, "warning")) {
			t.Errorf("of\n%s\nit says (%v)\n%s\nand should say\n%s", c.text, ok, got, c.want)
		}
		if f, problems := Load(config); (f != nil) != ok || strings.Contains(problems.Error(), "expire") {
			t.Errorf("loaded, it says %v", problems)
		}
		if strings.Contains(stderr.String(), "5d41402a") {
			t.Error("a key is told")
		}
	}
}

// TestFilesOfFlagsAreRead: from where the process stands, and the flag or the variable is named.
func TestFilesOfFlagsAreRead(t *testing.T) {
	folder, _, _ := certificates(t)
	t.Chdir(folder)
	for _, c := range []struct{ args, variable, want string }{
		{"--tls-listen :443 --tls-cert a.crt --tls-key a.key --tls-dir good --tls-client-ca b.crt --tls-ticket-keys keys", "", ""},
		{"--tls-listen :443 --tls-listen :444 --tls-cert soon.crt --tls-key soon.key --tls-cert a.crt --tls-key b.key", "",
			"culvert: --tls-cert a.crt: the private key in b.key does not match the certificate \"a.example\""},
		{"--tls-listen :443 --tls-cert a.crt", "CULVERT_TLS_KEY=none.key", "culvert: CULVERT_TLS_KEY=none.key (--tls-key): does not exist"},
		{"--tls-listen :443 --tls-dir bad/", "", "culvert: --tls-dir bad/: f.key has no certificate beside it: f.crt or f.pem\n" +
			"culvert: --tls-dir bad/: d.crt holds no private key, and there is no file for it: put it into the same file, or beside it as d.key"},
		{"--tls-listen :443 --tls-dir good --tls-client-ca none --tls-ticket-keys open --backend https://b:1 --backend-ca none.pem", "", "culvert: --tls-client-ca none: does not exist\n" +
			"culvert: --backend-ca none.pem: does not exist\n" +
			"culvert: --tls-ticket-keys open: every user of this machine may read or write the ticket keys (mode 0644), and with them read recorded connections: chmod o= on it"},
		{"--tls-listen :443 --tls-dir good", "", ""},
	} {
		i, err := settings.Parse(strings.Fields("--backend a:1 "+c.args), []string{c.variable})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(FlagFiles(nil, i, time.Now()), "\n"); got != c.want {
			t.Errorf("%s: it says\n%s\nand should say\n%s", c.args, got, c.want)
		}
	}
	demo, err := settings.Parse([]string{"demo", "--tls"}, nil)
	if err != nil || len(FlagFiles(nil, demo, time.Now())) > 0 {
		t.Errorf("the demo's own certificate: %v", err)
	}
}

// TestTicketKeysOfAFileAreFoundFromIt: and a flag's from where the process stands.
func TestTicketKeysOfAFileAreFoundFromIt(t *testing.T) {
	folder, _, _ := certificates(t)
	config := filepath.Join(folder, "c.yaml")
	if err := os.WriteFile(config, []byte("tls: {tls-ticket-keys: keys, tls-workers: 3}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, problems := Load(config)
	if f == nil {
		t.Fatal(problems)
	}
	for args, want := range map[string]string{"": filepath.Join(folder, "keys"), "--tls-ticket-keys=other": "other", "--tls-ticket-keys=off": ""} {
		i, err := settings.Parse(strings.Fields("--backend=a:1 --config="+config+" "+args), nil)
		if err == nil {
			i, err = i.With(f.Layer())
		}
		if err != nil || string(i.Settings.TLS.TLSTicketKeys) != want || i.Settings.TLS.TLSWorkers != 3 {
			t.Errorf("%s: %v, %+v", args, err, i.Settings.TLS)
		}
		if lines := FlagFiles(f, i, time.Now()); (len(lines) > 0) != (want == "other") {
			t.Errorf("%s: %q", args, lines)
		}
	}
}
