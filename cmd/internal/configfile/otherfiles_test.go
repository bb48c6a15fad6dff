package configfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culvert/cmd/internal/settings"
)

// secrets makes a folder with files of keys, tokens and servers, good and bad.
func secrets(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"keys": strings.Repeat("0a", 32), "open": "a key", "empty": " \n", "token": strings.Repeat("t", minToken) + "\n", "short": strings.Repeat("t", minToken-1), "long": strings.Repeat("t", maxToken+1),
		"longest": strings.Repeat("t", maxToken), "blank": "a token with blanks", "list.yaml": "- 10.0.0.1:80\n- {address: \"[::1]:80\", weight: 0, secondary: true}\n", "list.json": "[\"10.0.0.1:80\"]",
		"none.yaml": "[]", "name.yaml": "- 10.0.0.1:80\n- app.internal:80\n", "weight.yaml": "- {address: 10.0.0.1:80, weight: 101}", "bare.yaml": "- {weight: 1}", "map.yaml": "a: 1", "half.yaml": "- 10.0.0.1:80\n- {addr",
		"key.yaml": "- {address: 10.0.0.1:80, wieght: 1}", "blank.yaml": "", "nested.yaml": "- [10.0.0.1:80]", "null.yaml": "-\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(folder, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestOtherFilesAreRead: keys of cookies, the token and lists of servers, each where the configuration names it.
func TestOtherFilesAreRead(t *testing.T) {
	folder := secrets(t)
	config := filepath.Join(folder, "c.yaml")
	const listeners = "listeners: [{address: \":80\", rules: [{group: a, allowed-origins: any}]}]\n"
	list := func(name string) string { return listeners + "groups: {a: {discovery: {file: " + name + "}}}" }
	const open = "every user of this machine may read or write it (mode 0644): chmod o= on it"
	for _, c := range []struct{ text, want string }{
		{listeners + "groups: {a: {servers: [a:1], sticky: {key-file: keys}}}\nadmin: {admin-token-file: token}", ""},
		{listeners + "groups: {a: {servers: [a:1], sticky: {key-file: " + folder + "/keys}}}\nadmin: {admin-token-file: longest}", ""},
		{listeners + "groups: {a: {servers: [a:1], sticky: {key-file: open}}}", "2:49: key-file open: " + open},
		{listeners + "groups: {a: {servers: [a:1], sticky: {key-file: empty}}}", "2:49: key-file empty: the file is empty"},
		{listeners + "groups: {a: {servers: [a:1], sticky: {key-file: .}}}", "2:49: key-file .: a folder, not a file"},
		{"groups: {a: {servers: [a:1]}}\nlisteners: [{address: \":80\", rules: [{group: a, allowed-origins: any, sticky: {key-file: none}}]}]", "2:90: key-file none: the file cannot be read: no such file or directory"},
		{"admin: {admin-token-file: open}", "1:27: admin-token-file open: " + open},
		{"admin: {admin-token-file: short}", "1:27: admin-token-file short: a token has 16 to 512 characters, and this one 15"},
		{"admin: {admin-token-file: long}", "1:27: admin-token-file long: a token has 16 to 512 characters, and this one 513"},
		{"admin: {admin-token-file: blank}", "1:27: admin-token-file blank: a token is one line of letters, digits and signs, without blanks"},
		{"admin: {admin-token-file: off}", ""},
		{list("list.yaml"), ""}, {list("list.json"), ""}, {list("none.yaml"), ""},
		{list("later.yaml"), "2:32: warning: file later.yaml: there is no such file yet"},
		{list("name.yaml"), "2:32: file name.yaml: 2:3: \"app.internal:80\" is no address with a port, such as 10.0.0.1:80 or \"[::1]:80\""},
		{list("weight.yaml"), "2:32: file weight.yaml: 1:34: weight \"101\": allowed are 0 to 100"},
		{list("bare.yaml"), "2:32: file bare.yaml: 1:3: a backend without address"},
		{list("key.yaml"), "2:32: file key.yaml: 1:26: wieght: unknown; a backend has address, weight and secondary"},
		{list("map.yaml"), "2:32: file map.yaml: 1:2: the file is no list; each line of one begins with \"- \""},
		{list("blank.yaml"), "2:32: file blank.yaml: the file is empty; a list without backends is written []"},
		{list("half.yaml"), "2:32: file half.yaml: 2:4: not YAML: could not find flow map content"},
		{list("nested.yaml"), "2:32: file nested.yaml: 1:3: an address with its port belongs here, such as 10.0.0.1:80"},
		{list("null.yaml"), "2:32: file null.yaml: 1:3: an address with its port belongs here, such as 10.0.0.1:80"},
	} {
		if err := os.WriteFile(config, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		sound := Check(config, false, &stdout, &stderr)
		said := strings.TrimSuffix(strings.ReplaceAll(stderr.String(), config+":", ""), "\n")
		if said != c.want || sound != (c.want == "" || strings.Contains(c.want, "warning")) {
			t.Errorf("of\n%s\nit says\n%s\nand should say\n%s", c.text, said, c.want)
		}
		if f, _ := Load(config); (f != nil) != sound {
			t.Errorf("of\n%s\nthe check says %v, and a start would not", c.text, sound)
		}
	}
}

// TestOtherFilesOfFlagsAreRead: and what is wrong with one is told of its flag.
func TestOtherFilesOfFlagsAreRead(t *testing.T) {
	folder := secrets(t)
	in := func(name string) string { return filepath.Join(folder, name) }
	for _, c := range []struct{ args, want string }{
		{"--sticky insert --sticky-key-file " + in("keys") + " --admin-token-file " + in("token") + " --discover file://" + in("list.yaml"), ""},
		{"--sticky insert --sticky-key-file " + in("empty"), "culvert: --sticky-key-file " + in("empty") + ": the file is empty"},
		{"--admin-token-file " + in("blank.yaml"), "culvert: --admin-token-file " + in("blank.yaml") + ": the file is empty"},
		{"--discover file://" + in("map.yaml"), "culvert: --discover " + in("map.yaml") + ": 1:2: the file is no list; each line of one begins with \"- \""},
		{"--discover file://" + in("later.yaml"), ""},
	} {
		i, err := settings.Parse(append(strings.Fields(c.args), "--backend=a:1"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(FlagFiles(nil, i, time.Now()), "\n"); got != c.want {
			t.Errorf("%s: it says\n%s\nand should say\n%s", c.args, got, c.want)
		}
	}
	i, err := settings.Parse([]string{"demo", "--admin-token-file=" + in("short")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := FlagFiles(nil, i, time.Now()); len(got) != 1 {
		t.Errorf("of the demo it says %q", got)
	}
}

// TestATokenIsReadWithoutItsLine: what stands around it does not count, and no error shows it.
func TestATokenIsReadWithoutItsLine(t *testing.T) {
	folder := secrets(t)
	if token, err := ReadToken(filepath.Join(folder, "token")); err != nil || token != strings.Repeat("t", minToken) {
		t.Errorf("%q, %v", token, err)
	}
	for _, name := range []string{"short", "long", "blank", "open"} {
		token, err := ReadToken(filepath.Join(folder, name))
		if err == nil || token != "" || strings.Contains(err.Error(), "tttt") {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}
