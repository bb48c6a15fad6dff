//go:build linux

package listener

import (
	"bytes"
	standard "crypto/tls"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/tls/certs"
	"culvert/tls/clientauth"
	"culvert/tls/internal/tlstest"
	"culvert/tls/tickets"

	"golang.org/x/crypto/ocsp"
)

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	f := newFolder(t)
	good, _ := f.pair("good", tlstest.Leaf{Names: []string{"a.example"}})
	bad := f.put("bad.pem", []byte("nothing"))
	_, err := Open(Options{
		Policy:       "none",
		Certificates: source(good, certs.Pair{CertFile: bad, KeyFile: good.KeyFile}, certs.Pair{CertFile: f.path + "/gone", KeyFile: good.KeyFile}),
		ClientCA:     bad,
	}, nil, now)
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{`there is no TLS policy "none"`, bad + ": holds no PEM", f.path + "/gone does not exist", bad + ": holds no certificate"}
	if len(lines) != len(want) {
		t.Fatalf("%q", lines)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("%q, want %q", line, want[i])
		}
	}
	if _, err := Open(Options{}, nil, now); err == nil {
		t.Error("no certificate is named, and no error")
	}
}

func TestNothingChangesBeforeItIsAdopted(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	p, old := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	l := open(t, Options{Certificates: source(p)}, nil)
	config := l.Config()
	shows := func(when string, want *tlstest.Pair) {
		t.Helper()
		if v := h.visit(l, anyone("a.example")); !v.accepted() || !bytes.Equal(v.leaf(), want.Certificate.Raw) {
			t.Errorf("%s: the wrong certificate, %v", when, v.err())
		}
	}
	f.put("a.key", []byte("damaged"))
	if _, err := l.Load(now); err == nil || !strings.HasPrefix(err.Error(), p.KeyFile) {
		t.Error(err)
	}
	shows("after a reload that has failed", old)
	_, next := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	loaded, err := l.Load(now)
	if err != nil {
		t.Fatal(err)
	}
	shows("loaded only", old)
	l.Adopt(loaded)
	shows("adopted", next)
	if l.Config() != config {
		t.Error("the configuration is another")
	}
}

// TestADeploymentIsFollowed: files are replaced one after the other, and once wrongly. What is wrong is told once.
func TestADeploymentIsFollowed(t *testing.T) {
	f := newFolder(t)
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	l := open(t, Options{Certificates: source(p)}, nil)
	isDue := func(want bool) {
		t.Helper()
		if l.Due(now) != want {
			t.Fatalf("due is %v", !want)
		}
	}
	next := root.Issue(tlstest.Leaf{Names: []string{"a.example"}, Key: tlstest.RSA2048})
	isDue(false)
	f.put("a.crt", next.CertPEM)
	isDue(false) // not settled
	isDue(true)
	if _, err := l.Load(now); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Fatal(err)
	}
	isDue(false)
	isDue(false)
	f.put("a.key", next.KeyPEM)
	isDue(false)
	isDue(true)
	reload(t, l)
	if kind := l.Expiry()[0].Kind; kind != "RSA 2048" {
		t.Errorf("shown is %s", kind)
	}
	if err := os.Remove(p.KeyFile); err != nil {
		t.Fatal(err)
	}
	isDue(false)
	isDue(false) // a file that is missing is about to come
	if _, err := l.Load(now); err == nil || !strings.Contains(err.Error(), "a.key does not exist") {
		t.Error(err)
	}
}

// TestAStapleIsNotSentBeyondItsEnd: also where the files cannot be loaded at that moment.
func TestAStapleIsNotSentBeyondItsEnd(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	ring, _ := newRing(t, "")
	below := root.Intermediate("Servers, below")
	issued := below.Issue(tlstest.Leaf{Names: []string{"a.example"}})
	end := now.Add(time.Hour)
	der, err := ocsp.CreateResponse(below.Certificate, below.Certificate, ocsp.Response{
		Status: ocsp.Good, SerialNumber: issued.Certificate.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: end,
	}, below.Key)
	if err != nil {
		t.Fatal(err)
	}
	f.put("a.ocsp", der)
	l := open(t, Options{Certificates: source(f.write("a", issued))}, ring)
	client := anyone("a.example")
	var staple []byte
	client.VerifyConnection = func(state standard.ConnectionState) error {
		staple = state.OCSPResponse
		return nil
	}
	if h.visit(l, client); !bytes.Equal(staple, der) {
		t.Error("no staple is sent")
	}
	client.ClientSessionCache = &session{}
	h.visit(l, client)
	f.put("a.key")
	if l.Due(end.Add(-time.Second)); l.present.Load().store.Current(end.Add(-time.Second)) != l.present.Load().store {
		t.Error("it is let go of early")
	}
	l.Due(end)
	if v := h.visit(l, client); !v.server.Resumed {
		t.Errorf("a ticket is bound to the staple: %v", v.err())
	}
	client.ClientSessionCache = nil
	if v := h.visit(l, client); !v.accepted() || len(staple) > 0 {
		t.Errorf("the staple is still sent, %v", v.err())
	}
}

func TestHandshakesUnderWayGoOnWithTheOldFiles(t *testing.T) {
	for _, number := range version {
		f, h := newFolder(t), newHouse(t)
		ring, _ := newRing(t, "")
		p, old := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
		l := open(t, Options{Certificates: source(p)}, ring)
		client := anyone("a.example")
		client.MaxVersion = number
		under := h.begin(l, client, "")
		under.until("the server's flight", func() bool {
			select {
			case task := <-h.tasks:
				task()
			default:
			}
			return len(under.server.Pending()) > 0
		})
		_, next := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
		reload(t, l)
		if v := under.finish(); !v.accepted() || !bytes.Equal(v.leaf(), old.Certificate.Raw) {
			t.Errorf("under way: the wrong certificate, %v", v.err())
		}
		if v := h.visit(l, client); !v.accepted() || !bytes.Equal(v.leaf(), next.Certificate.Raw) {
			t.Errorf("begun later: the wrong certificate, %v", v.err())
		}
	}
}

// TestReloadsUnderLoad replaces the certificate again and again while others perform handshakes.
func TestReloadsUnderLoad(t *testing.T) {
	const visitors, visits = 4, 25
	f := newFolder(t)
	ring, _ := newRing(t, "")
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	l := open(t, Options{Certificates: source(p)}, ring)
	var all sync.WaitGroup
	for range visitors {
		h := newHouse(t)
		all.Go(func() {
			client := anyone("a.example")
			client.InsecureSkipVerify, client.RootCAs = false, root.Pool()
			client.ClientSessionCache = standard.NewLRUClientSessionCache(1)
			for range visits {
				if v := h.visit(l, client); !v.accepted() {
					t.Error(v.err())
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	for i := 0; ; i++ {
		select {
		case <-over:
			return
		default:
			f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
			reload(t, l)
			l.Refresh()
			l.Warnings(now)
		}
	}
}

func TestChangesOfEveryFileAreNoticed(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	ring, _ := newRing(t, "")
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	ca := f.put("ca.pem", tlstest.PEM(clientA.Certificate.Raw))
	inside := folder{t, f.path + "/inside"}
	if err := os.Mkdir(inside.path, 0o700); err != nil {
		t.Fatal(err)
	}
	inside.pair("b", tlstest.Leaf{Names: []string{"b.example"}})
	s := source(p)
	s.Folders = []string{inside.path}
	l := open(t, Options{Certificates: s, ClientCA: ca}, ring)
	if due(l) {
		t.Error("due at once")
	}
	for what, change := range map[string]func(){
		"a certificate":          func() { f.pair("a", tlstest.Leaf{Names: []string{"a.example", "a2.example"}}) },
		"the client CA":          func() { f.put("ca.pem", tlstest.PEM(clientA.Certificate.Raw, clientB.Certificate.Raw)) },
		"one more in the folder": func() { inside.pair("c", tlstest.Leaf{Names: []string{"c.example"}}) },
		"a staple":               func() { f.put("a.ocsp", []byte("damaged")) },
	} {
		change()
		if !due(l) {
			t.Errorf("%s: not noticed", what)
		}
		reload(t, l)
		if due(l) {
			t.Errorf("%s: noticed again", what)
		}
	}
	client := anyone("c.example")
	client.Certificates = []standard.Certificate{clientB.Issue(tlstest.Leaf{}).TLS}
	if v := h.visit(l, client); !v.accepted() || !v.server.Verified {
		t.Error(v.err())
	}
	if w := l.Warnings(now); !contains(w, f.path+"/a.ocsp", "the OCSP staple is ignored") {
		t.Error(w)
	}
}

// TestTheFilesAreThoseBeforeTheyWereRead: a change between Load and Adopt is noticed.
func TestTheFilesAreThoseBeforeTheyWereRead(t *testing.T) {
	f := newFolder(t)
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	l := open(t, Options{Certificates: source(p)}, nil)
	loaded, err := l.Load(now)
	if err != nil {
		t.Fatal(err)
	}
	f.pair("a", tlstest.Leaf{Names: []string{"a.example", "b.example"}})
	l.Adopt(loaded)
	if !due(l) {
		t.Error("the change is lost")
	}
}

// TestNewKeysOfTicketsAreTaken: a ticket that was made with a key that is over resumes nowhere.
func TestNewKeysOfTicketsAreTaken(t *testing.T) {
	for how, take := range map[string]func(*Listener, *Loaded){
		"refreshed": func(l *Listener, _ *Loaded) { l.Refresh() },
		"adopted":   func(l *Listener, loaded *Loaded) { l.Adopt(loaded) },
		"neither":   func(*Listener, *Loaded) {},
	} {
		f, h := newFolder(t), newHouse(t)
		ring, c := newRing(t, "")
		p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
		l := open(t, Options{Certificates: source(p)}, ring)
		loaded, err := l.Load(now)
		if err != nil {
			t.Fatal(err)
		}
		for _, later := range []time.Duration{tickets.DefaultRotation, tickets.DefaultLifetime + 2*time.Minute} {
			c.now = c.now.Add(later)
			if err := ring.Advance(); err != nil {
				t.Fatal(err)
			}
		}
		take(l, loaded)
		client := anyone("a.example")
		client.ClientSessionCache, client.Time = &session{}, c.tell
		h.visit(l, client)
		twin := open(t, l.Options(), ring)
		if v := h.visit(twin, client); !v.accepted() || v.server.Resumed != (how != "neither") {
			t.Errorf("%s: resumed %v, %v", how, v.server.Resumed, v.err())
		}
	}
}

func TestProtocolsAreChosen(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	for _, c := range []struct{ listener, client, want string }{
		{"", "http/1.1", "http/1.1"}, {"", "h2 http/1.1", "http/1.1"}, {"", "", ""},
		{"", "h2", "no application protocol"}, {"x http/1.1", "http/1.1 x", "x"},
	} {
		l := open(t, Options{Certificates: source(p), Protocols: strings.Fields(c.listener)}, nil)
		client := anyone("a.example")
		client.NextProtos = strings.Fields(c.client)
		v := h.visit(l, client)
		if got := v.server.Protocol + alertOf(v); got != c.want {
			t.Errorf("%q at %q: %q, want %q", c.client, c.listener, got, c.want)
		}
	}
}

func TestThePolicyDecides(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	for policy, accepts := range map[string][]string{"": {"1.2", "1.3"}, "modern": {"1.3"}, "tls_cipher_policy_1_2_strict": {"1.2"}} {
		l := open(t, Options{Certificates: source(p), Policy: policy}, nil)
		for spelled, number := range version {
			client := anyone("a.example")
			client.MinVersion, client.MaxVersion = number, number
			if v := h.visit(l, client); v.accepted() != slices.Contains(accepts, spelled) {
				t.Errorf("%q with TLS %s: %v", policy, spelled, v.err())
			}
		}
	}
}

func TestClientsAreAsked(t *testing.T) {
	f, h := newFolder(t), newHouse(t)
	ring, _ := newRing(t, "")
	p, _ := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}})
	ca := f.put("ca.pem", tlstest.PEM(clientA.Certificate.Raw))
	certificates := map[string]*tlstest.Pair{"A": clientA.Issue(tlstest.Leaf{}), "B": clientB.Issue(tlstest.Leaf{}), "none": nil}
	for name, o := range map[string]Options{
		"nobody":   {Certificates: source(p), ClientOptional: true},
		"required": {Certificates: source(p), ClientCA: ca},
		"optional": {Certificates: source(p), ClientCA: ca, ClientOptional: true},
	} {
		l := open(t, o, ring)
		if l.AsksClients() != (name != "nobody") {
			t.Errorf("%s: asks %v", name, l.AsksClients())
		}
		for who, want := range map[string]map[string]string{
			"A":    {"nobody": clientauth.None, "required": clientauth.Success, "optional": clientauth.Success},
			"B":    {"nobody": clientauth.None},
			"none": {"nobody": clientauth.None, "optional": clientauth.None},
		} {
			client := anyone("a.example")
			client.GetClientCertificate = func(*standard.CertificateRequestInfo) (*standard.Certificate, error) {
				if p := certificates[who]; p != nil {
					return &p.TLS, nil
				}
				return &standard.Certificate{}, nil
			}
			v := h.visit(l, client)
			got := ""
			if v.accepted() {
				got = clientauth.IdentifyChain(v.server.PeerCertificates, v.server.Verified).Verify
			}
			if got != want[name] {
				t.Errorf("%s at %s: %q, want %q, %v", who, name, got, want[name], v.err())
			}
		}
	}
}

func TestASelfSignedCertificateIsKeptUntilItsEndIsNear(t *testing.T) {
	h := newHouse(t)
	l := open(t, Options{SelfSigned: true}, nil)
	first := h.visit(l, anyone("localhost")).leaf()
	reload(t, l)
	if again := h.visit(l, anyone("localhost")).leaf(); len(first) == 0 || !bytes.Equal(first, again) || due(l) {
		t.Error("a reload makes another")
	}
	late := l.Expiry()[0].NotAfter.Add(-time.Hour)
	if !l.Due(late) {
		t.Error("not due before its end")
	}
	loaded, err := l.Load(late)
	if err != nil {
		t.Fatal(err)
	}
	l.Adopt(loaded)
	if next := h.visit(l, anyone("localhost")).leaf(); bytes.Equal(first, next) || l.Due(late) {
		t.Error("it is not replaced")
	}
}

func TestWarningsAndExpiry(t *testing.T) {
	f := newFolder(t)
	p, issued := f.pair("a", tlstest.Leaf{Names: []string{"a.example"}, NotAfter: now.AddDate(0, 0, 10)})
	ca := f.put("ca.pem", tlstest.PEM(clientA.Certificate.Raw), issued.CertPEM)
	if err := os.Chmod(p.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	l := open(t, Options{Certificates: source(p), ClientCA: ca}, nil)
	w := l.Warnings(now)
	if !contains(w, p.KeyFile, "may read or write") || !contains(w, p.CertFile, "expires in 10 days") || !contains(w, ca, "is no authority") || len(w) != 3 {
		t.Error(w)
	}
	if w := l.Warnings(now.AddDate(20, 0, 0)); !contains(w, p.CertFile, "has expired") || !contains(w, ca, "has expired") {
		t.Error(w)
	}
	if e := l.Expiry(); len(e) != 1 || e[0].Name != "a.example" || e[0].File != p.CertFile {
		t.Error(e)
	}
}

func TestOptionsAreComparedByTheirMeaning(t *testing.T) {
	base := func() Options {
		return Options{Name: "n", Certificates: certs.Source{Pairs: []certs.Pair{{CertFile: "c", KeyFile: "k"}}, Folders: []string{"f"}}, ClientCA: "ca"}
	}
	if !base().Equal(base()) {
		t.Error("not like itself")
	}
	for what, change := range map[string]func(*Options){
		"name": func(o *Options) { o.Name = "m" }, "pair": func(o *Options) { o.Certificates.Pairs[0].KeyFile = "c" },
		"folder": func(o *Options) { o.Certificates.Folders = nil }, "strict": func(o *Options) { o.Certificates.Strict = true },
		"self-signed": func(o *Options) { o.SelfSigned = true }, "policy": func(o *Options) { o.Policy = "modern" },
		"CA": func(o *Options) { o.ClientCA = "" }, "optional": func(o *Options) { o.ClientOptional = true },
		"protocols": func(o *Options) { o.Protocols = []string{"x"} },
	} {
		o := base()
		if change(&o); o.Equal(base()) || base().Equal(o) {
			t.Errorf("another %s makes no difference", what)
		}
	}
	o := base()
	o.Policy, o.Protocols = "intermediate", []string{"http/1.1"}
	if !o.Equal(base()) {
		t.Error("the defaults are not what they are")
	}
	a, b := Options{SelfSigned: true, ClientOptional: true}, Options{SelfSigned: true, Certificates: base().Certificates}
	if !a.Equal(b) {
		t.Error("what has no meaning makes a difference")
	}
}
