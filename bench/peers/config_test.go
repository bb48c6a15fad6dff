package peers

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Contenders' own programs judge the configurations that they are started with.
func TestConfigurationsAreAcceptedByTheirPrograms(t *testing.T) {
	needPeers(t)
	check := map[string]func(file, folder string) []string{
		ProgramNginx: func(file, folder string) []string {
			return []string{"-t", "-q", "-p", folder, "-c", file, "-e", "stderr"}
		},
		ProgramHAProxy: func(file, _ string) []string { return []string{"-c", "-q", "-f", file} },
	}
	for _, c := range Contenders() {
		words := check[c.Program]
		if words == nil {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			path, err := findProgram(c.Program, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []keyKind{noKey, keyP256, keyRSA} {
				configuration := sampleConfiguration(t, c.Tuned, key)
				file, err := configuration.write(c.Program)
				if err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(path, words(file, configuration.Folder)...).CombinedOutput()
				// A warning is a line about the configuration too.
				if said := withoutUser(string(out)); err != nil || said != "" {
					t.Errorf("key %q: %v: %s", key, err, said)
				}
			}
		})
	}
}

// withoutUser drops what nginx says to those who are not root, about a directive that it has by default.
func withoutUser(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, `the "user" directive makes sense only`) }), "\n")
}

func sampleConfiguration(t *testing.T, tuned bool, key keyKind) configuration {
	t.Helper()
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	p := &proxy{contender: Contender{Tuned: tuned}, address: netip.AddrPortFrom(loopback, 20001), folder: t.TempDir()}
	l := launch{backend: netip.AddrPortFrom(loopback, 20002)}
	if key != noKey {
		var err error
		if l.certificate, err = makeCertificate(t.TempDir(), key); err != nil {
			t.Fatal(err)
		}
		p.secure = netip.AddrPortFrom(loopback, 20003)
	}
	c, err := newConfiguration(p, l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What the two variants of a peer differ in is what claims rest on.
func TestTuningIsWhatDistinguishesTheVariants(t *testing.T) {
	for program, tuning := range map[string][]string{
		ProgramNginx:   {"proxy_buffer_size 64k;", "proxy_buffers 4 64k;", "20001 reuseport backlog=4096;", "ssl reuseport backlog=4096;", "ssl_session_cache shared:", "proxy_buffering off;"},
		ProgramHAProxy: {"tune.bufsize 65536\n", "option splice-auto\n", "maxpipes 64\n", "http-reuse always\n"},
	} {
		for _, tuned := range []bool{false, true} {
			text, err := sampleConfiguration(t, tuned, keyP256).render(program)
			if err != nil {
				t.Fatal(err)
			}
			for _, words := range tuning {
				if got := strings.Contains(string(text), words); got != tuned {
					t.Errorf("%s, tuned %v: %q in it is %v", program, tuned, words, got)
				}
			}
			for _, words := range []string{"127.0.0.1:20001", "127.0.0.1:20002", "127.0.0.1:20003 ssl"} {
				if !strings.Contains(string(text), words) {
					t.Errorf("%s, tuned %v: no %s", program, tuned, words)
				}
			}
		}
	}
}

// Kept connections are for ordinary requests, in both variants and as long as Culvert's; tunnels know nothing of them.
func TestNginxKeepsTheConnectionsOfRequests(t *testing.T) {
	for _, tuned := range []bool{false, true} {
		text, err := sampleConfiguration(t, tuned, noKey).render(ProgramNginx)
		if err != nil {
			t.Fatal(err)
		}
		_, locations, _ := strings.Cut(string(text), "location / {")
		tunnels, requests, found := strings.Cut(locations, "location /bytes/ {")
		if !found || strings.Contains(tunnels, "kept") || !strings.Contains(tunnels, `Connection "upgrade";`) ||
			!strings.Contains(requests, "http://kept;") || !strings.Contains(requests, `Connection "";`) ||
			strings.Count(string(text), "keepalive_requests 1000000;") != 2 {
			t.Errorf("tuned %v:\n%s", tuned, text)
		}
	}
}

func TestProgramsAreFoundOrNamed(t *testing.T) {
	if _, err := findProgram("no-such-proxy", ""); err == nil || !strings.Contains(err.Error(), "scripts/bench-peers.sh") {
		t.Errorf("error %v", err)
	}
	if _, err := findProgram(ProgramNginx, "./missing"); err == nil || !strings.Contains(err.Error(), "--nginx") {
		t.Errorf("error %v", err)
	}
	path, err := findProgram(ProgramNginx, os.Args[0])
	if err != nil || !strings.HasPrefix(path, "/") {
		t.Errorf("%q (%v)", path, err)
	}
}

func TestPeersTellTheirVersions(t *testing.T) {
	needPeers(t)
	for program, word := range map[string]string{ProgramNginx: "nginx/", ProgramHAProxy: "HAProxy version"} {
		path, err := findProgram(program, "")
		if err != nil {
			t.Fatal(err)
		}
		if version, err := versionOf(context.Background(), program, path); err != nil || !strings.Contains(version, word) {
			t.Errorf("%q (%v)", version, err)
		}
	}
	if version, err := versionOf(context.Background(), ProgramFloor, "floor"); version != "" || err != nil {
		t.Errorf("%q (%v), want nothing", version, err)
	}
}

func TestCulvertsCommandLineEndsWithWhatWasGiven(t *testing.T) {
	address := netip.MustParseAddrPort("127.0.0.1:1")
	p := &proxy{address: address, secure: address, admin: address}
	l := launch{backend: address, loops: 2, extra: []string{"--read-buffer", "4KiB"}}
	line := strings.Join(culvertWords("culvert", p, l), " ")
	if strings.Contains(line, "--tls") {
		t.Errorf("TLS without a certificate in %s", line)
	}
	l.certificate = &certificate{"a.crt", "a.key", "a.pem"}
	line = strings.Join(culvertWords("culvert", p, l), " ")
	for _, want := range []string{"culvert run ", "--loops 2", "--access-log off", "--idle-timeout 1h", "--keep-alive-requests 1000000", "--tls-listen 127.0.0.1:1 --tls-cert a.crt --tls-key a.key"} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %s", want, line)
		}
	}
	if !strings.HasSuffix(line, "--read-buffer 4KiB") {
		t.Error(line)
	}
}
