package configfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"culvert/proxy"
)

// Load reads a file. The file is nil where one of the problems is no warning.
func Load(name string) (*File, Problems) {
	data, err := readBounded(name, MaxFileBytes)
	if err != nil {
		return nil, Problems{{File: name, Message: printable(err.Error())}}
	}
	return Parse(data, name)
}

// Parse reads the text of a file of that name: what it names in turn is found from its folder.
func Parse(data []byte, name string) (*File, Problems) {
	r, file := readWith(data, name, func(body string) ([]byte, error) {
		return readBounded(FilePath(name, body), proxy.MaxFixedBody)
	})
	for _, found := range file.inspect(time.Now()) {
		if !found.warning { // those are for the check, and for the proxy to tell while it runs
			r.fail(found.place, "%s", found.message())
		}
	}
	return r.result(file)
}

// FilePath returns where a file, or a folder, is that a configuration file names.
func FilePath(config, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(config), name)
}

// parseWith is Parse for tests: files other than bodies are not looked at.
func parseWith(data []byte, name string, readFile func(string) ([]byte, error)) (*File, Problems) {
	r, file := readWith(data, name, readFile)
	return r.result(file)
}

// readWith reads as much as can be read.
func readWith(data []byte, name string, readFile func(string) ([]byte, error)) (*reader, *File) {
	r := &reader{name: name, readFile: readFile, known: allKeys()}
	file := &File{Name: name}
	if root := r.root(data); root != nil {
		readMapping(r, root, rootFields(), file)
		r.crossCheck(file)
	}
	return r, file
}

// result returns the file, unless something is wrong.
func (r *reader) result(file *File) (*File, Problems) {
	problems := r.problems.sorted()
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	return file, problems
}

// readBounded reads a file of at most so many bytes. What is no file is not opened: that could wait for ever.
func readBounded(name string, most int) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, errors.New("the file cannot be read: " + reasonOf(err))
	case info.IsDir():
		return nil, errors.New("a folder, not a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nor for what has just come there
	if err != nil {
		return nil, errors.New("the file cannot be read: " + reasonOf(err))
	}
	defer func() { _ = file.Close() }()
	if info, err = file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	switch {
	case err != nil:
		return nil, errors.New("the file cannot be read: " + reasonOf(err))
	case len(data) > most:
		return nil, fmt.Errorf("the file has more than %d bytes, which is the most allowed", most)
	}
	return data, nil
}

// reasonOf leaves out the name, which the reader has just been told.
func reasonOf(err error) string {
	if failure := (*fs.PathError)(nil); errors.As(err, &failure) {
		return failure.Err.Error()
	}
	return err.Error()
}

// rootFields are the sections.
var rootFields = sync.OnceValue(func() []field[File] {
	fields := []field[File]{
		{
			key: "listeners", help: "The addresses that clients connect to, and what becomes of their requests.", allowed: "a list of listeners, see below",
			shape: listOf(ref("listener")), read: readListeners,
		},
		{
			key: "groups", help: "The servers that requests are balanced over, as groups by name.", allowed: "a mapping of names to groups, see below",
			shape: mapOf(namePattern, ref("group")), read: readGroups,
		},
	}
	for _, s := range sections() {
		settings := settingFields(s.flags, func(f *File) *[]Setting { return &f.Settings })
		fields = append(fields, field[File]{
			key: s.name, help: sectionHelp[s.name], allowed: "a mapping, see below", nullable: true, shape: objectOf(settings),
			read: func(r *reader, n *node, to *File) { readMapping(r, n, settings, to) },
		})
	}
	return fields
})

// sectionHelp says what each section is for.
var sectionHelp = map[string]string{
	"sockets":  "The listening sockets.",
	"backends": "How servers are connected to.",
	"timeouts": "The deadlines of every phase, for all listeners that have none of their own.",
	"limits":   "What the instance takes of the machine, and takes on.",
	"tls":      "The handshakes of HTTPS, of all listeners together.",
	"http":     "Ordinary requests, and the heads of all.",
	"logs":     "What is logged where.",
	"trust":    "Who is believed.",
	"admin":    "The port for metrics, probes and reloads.",
	"shutdown": "The end.",
	"config":   "This file.",
}

func readListeners(r *reader, n *node, to *File) {
	to.note(n.place)
	if n.kind != list {
		r.wrongKind(n, "a list: \"- address: ...\" for each listener")
		return
	}
	if len(n.items) == 0 {
		r.fail(n.place, "listeners: an empty list; leave it out to say it by --listen")
	}
	if !r.bounded(n, len(n.items), MaxListeners, "listeners") {
		return
	}
	for _, item := range n.items {
		l := Listener{place: item.place}
		values, ok := readMapping(r, item, listenerFields(), &l)
		if !ok {
			continue
		}
		if values["address"] == nil {
			r.fail(item.place, "listeners: a listener without address")
		}
		to.Listeners = append(to.Listeners, l)
	}
}

func readGroups(r *reader, n *node, to *File) {
	to.note(n.place)
	if n.kind != mapping {
		r.wrongKind(n, "a mapping of names to groups")
		return
	}
	if len(n.entries) == 0 {
		r.fail(n.place, "groups: an empty mapping")
	}
	for _, e := range n.entries {
		g := newGroup(e.key)
		g.place = e.place
		r.isName(e.place, "group", e.key)
		if values, ok := readMapping(r, e.value, groupFields(), &g); ok {
			r.checkGroup(&g, e.place, values)
		}
		to.Groups = append(to.Groups, g)
	}
}

// note remembers where the file begins to say what is served.
func (f *File) note(at place) {
	if f.site == (place{}) {
		f.site = at
	}
}
