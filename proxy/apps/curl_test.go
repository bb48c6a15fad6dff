package apps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// requireCurl is set where a missing curl is a failure.
const requireCurl = "CULVERT_REQUIRE_CURL"

// findCurl skips the test, or fails it as requireCurl says, where there is no curl.
func findCurl(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err == nil {
		return path
	}
	if os.Getenv(requireCurl) != "" {
		t.Fatalf("there is no curl, and %s is set: %v", requireCurl, err)
	}
	t.Skipf("skipped: there is no curl: %v", err)
	return ""
}

// uploaded is what the backend tells of an upload.
type uploaded struct {
	Digest digest
	Length int64 // as declared; -1: not
	Expect string
}

// bulk takes uploads, and has a download of transferBytes that is never the same 4 MiB twice in a row.
func bulk(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", strconv.Itoa(transferBytes))
		}
		_ = writeStream(w)
		return
	}
	said := uploaded{Length: r.ContentLength, Expect: r.Header.Get("Expect")}
	if _, err := io.CopyBuffer(onlyWriter{&said.Digest}, r.Body, make([]byte, 256<<10)); err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(said)
}

// onlyWriter hides what else a writer can do, so that it is a buffer of the given size that is used.
type onlyWriter struct{ io.Writer }

// writeStream writes transferBytes bytes of which no MiB is the same as the one before.
func writeStream(w io.Writer) error {
	const piece = 1 << 20
	for i := range transferBytes / piece {
		if _, err := w.Write(payload(uint64(i), piece)); err != nil {
			return err
		}
	}
	return nil
}

// streamDigest is what writeStream writes.
var streamDigest = sync.OnceValue(func() (d digest) {
	_ = writeStream(&d)
	return d
})

// memory watches how much memory the proxy uses.
type memory struct {
	before, peak, after int64
	stop                chan struct{}
	stopped             chan struct{}
}

// watchMemory looks at the proxy's memory now and then, until end is called.
func watchMemory(c *culvert) *memory {
	m := &memory{before: c.proportionalSet(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(m.stopped)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			m.peak = max(m.peak, c.proportionalSet())
			select {
			case <-m.stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return m
}

// end checks that the memory has not grown, and reports it.
func (m *memory) end(t *testing.T, c *culvert, took time.Duration) {
	t.Helper()
	close(m.stop)
	<-m.stopped
	m.after = c.proportionalSet()
	t.Logf("figure: %d MiB in %v; PSS %d KiB before, %d at its peak, %d after", transferBytes>>20, took.Round(time.Millisecond),
		m.before>>10, m.peak>>10, m.after>>10)
	if growth := max(m.peak, m.after) - m.before; m.before == 0 || growth > memoryGrowth {
		t.Errorf("the proxy's memory grew by %d bytes from %d, allowed are %d", growth, m.before, memoryGrowth)
	}
}

// runCurl runs curl, whose output is read as it comes, and wants it to end well.
func runCurl(t *testing.T, input io.Reader, output io.Writer, arguments ...string) {
	t.Helper()
	command := exec.Command(findCurl(t), append([]string{
		"--silent", "--show-error", "--fail", "--no-buffer", "--noproxy", "*", "--max-time", strconv.Itoa(int(patience.Seconds())),
	}, arguments...)...)
	command.Stdin, command.Stdout, command.Stderr = input, output, os.Stderr
	if err := command.Run(); err != nil {
		t.Fatalf("curl: %v", err)
	}
}

func TestCurlDownloadsAGibibyteWithConstantMemory(t *testing.T) {
	findCurl(t)
	c := startCulvert(t, []string{newGosServer(t, http.HandlerFunc(bulk)).address()})
	runCurl(t, nil, io.Discard, "--head", c.url("/length")) // the first request of all has its own memory
	want := streamDigest()
	for name, path := range map[string]string{"of known length": "/length", "in chunks": "/chunked"} {
		t.Run(name, func(t *testing.T) {
			m, begin := watchMemory(c), time.Now()
			var got digest
			runCurl(t, nil, &got, c.url(path))
			m.end(t, c, time.Since(begin))
			if got != want {
				t.Errorf("curl received %+v, want %+v", got, want)
			}
		})
	}
}

func TestCurlUploadsAGibibyteWithConstantMemory(t *testing.T) {
	findCurl(t)
	c := startCulvert(t, []string{newGosServer(t, http.HandlerFunc(bulk)).address()})
	runCurl(t, nil, io.Discard, "--head", c.url("/length"))
	file, fileDigest := sparseFile(t)
	for name, one := range map[string]struct {
		source string
		length int64
		want   digest
	}{
		"of known length": {file, transferBytes, fileDigest},
		"in chunks":       {"-", -1, streamDigest()},
	} {
		t.Run(name, func(t *testing.T) {
			var input io.Reader
			if one.source == "-" {
				reader, writer := io.Pipe()
				defer func() { _ = reader.Close() }()
				go func() { _ = writer.CloseWithError(writeStream(writer)) }()
				input = reader
			}
			m, begin := watchMemory(c), time.Now()
			var answer shortAnswer
			// Without the interim answer, curl would wait for longer than it may take.
			runCurl(t, input, &answer, "--upload-file", one.source, "--header", "Expect: 100-continue", "--expect100-timeout", "600", c.url("/up"))
			m.end(t, c, time.Since(begin))
			want := uploaded{one.want, one.length, "100-continue"}
			if got := answer.decode(t); got != want {
				t.Errorf("the backend received %+v, want %+v", got, want)
			}
		})
	}
}

// shortAnswer is an answer, kept as it is.
type shortAnswer []byte

// Write implements io.Writer.
func (d *shortAnswer) Write(p []byte) (int, error) {
	*d = append(*d, p...)
	return len(p), nil
}

func (d shortAnswer) decode(t *testing.T) (said uploaded) {
	t.Helper()
	if err := json.Unmarshal(d, &said); err != nil {
		t.Fatalf("the backend said %q: %v", d, err)
	}
	return said
}

// sparseFile makes a file of transferBytes, of which pages at random places hold random bytes and the others take no
// room, and returns its name and digest.
func sparseFile(t *testing.T) (name string, d digest) {
	t.Helper()
	const page = 4 << 10
	file, err := os.Create(filepath.Join(t.TempDir(), "upload"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rng := rand.New(rand.NewPCG(1, 2))
	err = file.Truncate(transferBytes)
	for i := range transferBytes / (64 * page) {
		at := int64(i*64+rng.IntN(64)) * page
		_, failed := file.WriteAt(payload(uint64(i), page), at)
		err = errors.Join(err, failed)
	}
	_, failed := io.Copy(&d, file)
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return file.Name(), d
}

// A backend that refuses an upload without reading all of it ends the connection that the rest is on. Its answer is what
// the client gets, and not the end of the connection.
func TestCurlGetsTheAnswerToAnUploadThatIsRefusedInTheMiddle(t *testing.T) {
	findCurl(t)
	server := newGosServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, int64(number(r, "take")))
		w.WriteHeader(http.StatusForbidden)
	}))
	c := startCulvert(t, []string{server.address()})
	file, _ := sparseFile(t)
	for _, take := range []int{0, 1, 100_000, 1 << 20} {
		for _, framing := range []string{"Transfer-Encoding: chunked", "Transfer-Encoding:"} {
			var status shortAnswer
			runCurl(t, nil, &status, "--no-fail", "--output", os.DevNull, "--write-out", "%{http_code}", "--header", "Expect:", "--header", framing,
				"--upload-file", file, fmt.Sprint(c.url("/?take="), take))
			if string(status) != "403" {
				t.Errorf("after %d bytes, %s: curl says %s", take, framing, status)
			}
		}
	}
}

func TestCurlDoesNotSendABodyThatIsRefused(t *testing.T) {
	findCurl(t)
	server := newGosServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	c := startCulvert(t, []string{server.address()}, "--max-body", "1MiB")
	file := filepath.Join(t.TempDir(), "upload")
	for size, status := range map[int]int{1 << 20: 403, 1<<20 + 1: 413} {
		if err := os.WriteFile(file, payload(1, size), 0o600); err != nil {
			t.Fatal(err)
		}
		var said shortAnswer
		runCurl(t, nil, &said, "--no-fail", "--output", os.DevNull, "--write-out", "%{http_code} %{size_upload}",
			"--upload-file", file, "--header", "Expect: 100-continue", "--expect100-timeout", "600", c.url("/"))
		if want := fmt.Sprint(status, " 0"); string(said) != want {
			t.Errorf("%d bytes: curl says %q, want %q", size, said, want)
		}
	}
}

// failingCurl runs curl, which has to fail, and returns what it says.
func failingCurl(ctx context.Context, t *testing.T, arguments ...string) string {
	t.Helper()
	said, err := exec.CommandContext(ctx, findCurl(t), arguments...).CombinedOutput()
	if err == nil {
		t.Errorf("curl has not failed: %q", said)
	}
	return string(said)
}
