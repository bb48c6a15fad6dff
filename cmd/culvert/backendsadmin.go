//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"culvert/cmd/internal/settings"
	"culvert/proxy"

	"github.com/rs/zerolog"
)

const (
	// backendsPath is where the admin port tells of backends; behind it stands what is done to one.
	backendsPath = "/backends"
	// orderBytes bounds what is asked for.
	orderBytes = 4 << 10
)

// backendKeeper has backends: a proxy.
type backendKeeper interface {
	Backends() []proxy.BackendStatus
	DrainBackend(group, name string, limit time.Duration) error
	UndrainBackend(group, name string) error
	WeighBackend(group, name string, weight int) error
}

// backendsAdmin is the part of the admin port that is about backends.
type backendsAdmin struct {
	keeper backendKeeper
	log    zerolog.Logger
}

// order is what is asked for, by the names of JSON and forms.
type order map[string]string

// serveOn adds it to what the admin port serves.
func (b *backendsAdmin) serveOn(mux *http.ServeMux, d *doorkeeper) {
	mux.HandleFunc("GET "+backendsPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(adminHeader, "1")
		writeJSON(w, append([]proxy.BackendStatus{}, b.keeper.Backends()...))
	})
	for _, one := range []struct {
		action string
		keys   []string
		act    func(o order, at proxy.BackendStatus) error
	}{
		{"drain", []string{"group", "name", "for"}, b.drain},
		{"undrain", []string{"group", "name"}, b.undrain},
		{"weight", []string{"group", "name", "weight"}, b.weigh},
	} {
		mux.HandleFunc("POST "+backendsPath+"/"+one.action, d.acting(func(w http.ResponseWriter, r *http.Request) {
			b.serve(w, r, one.keys, one.act)
		}))
	}
}

// serve reads what is asked for, does it, and answers with how the backend stands then.
func (b *backendsAdmin) serve(w http.ResponseWriter, r *http.Request, keys []string, act func(order, proxy.BackendStatus) error) {
	o, refused := readOrder(w, r, keys)
	if refused != nil {
		http.Error(w, refused.reason, refused.status)
		return
	}
	at, refused := b.find(o["group"], o["name"])
	if refused != nil {
		http.Error(w, refused.reason, refused.status)
		return
	}
	if err := act(o, at); err != nil {
		status := http.StatusInternalServerError
		wrong := (*orderError)(nil)
		switch {
		case errors.Is(err, proxy.ErrNoSuchBackend):
			status = http.StatusNotFound
		case errors.As(err, &wrong):
			status = http.StatusBadRequest
		}
		http.Error(w, err.Error(), status)
		return
	}
	if now, refused := b.find(at.Group, o["name"]); refused == nil {
		at = now
	}
	writeJSON(w, at)
}

// orderError says what is wrong with what is asked for.
type orderError struct{ key, text, reason, allowed string }

// Error is one line.
func (e *orderError) Error() string {
	return e.key + " " + settings.Shown(e.text) + ": " + e.reason + "; allowed: " + e.allowed
}

func (b *backendsAdmin) drain(o order, at proxy.BackendStatus) error {
	limit := time.Duration(0)
	if text, given := o["for"]; given {
		var err error
		if limit, err = settings.DrainLimits.Duration(text); err != nil {
			return &orderError{"for", text, err.Error(), settings.DrainLimits.Allowed()}
		}
	}
	if err := b.keeper.DrainBackend(at.Group, o["name"], limit); err != nil {
		return err
	}
	b.tell(at).Dur("for", limit).Msg("a backend is drained")
	return nil
}

func (b *backendsAdmin) undrain(o order, at proxy.BackendStatus) error {
	if err := b.keeper.UndrainBackend(at.Group, o["name"]); err != nil {
		return err
	}
	b.tell(at).Msg("a backend is in use again")
	return nil
}

func (b *backendsAdmin) weigh(o order, at proxy.BackendStatus) error {
	weight, err := settings.ReadWeight(o["weight"])
	if err != nil {
		return &orderError{"weight", o["weight"], err.Error(), "0 to 100, or configured"}
	}
	if err := b.keeper.WeighBackend(at.Group, o["name"], int(weight)); err != nil {
		return err
	}
	event := b.tell(at)
	if weight == settings.Configured {
		event.Msg("a backend has its configured weight again")
	} else {
		event.Int("weight", int(weight)).Msg("a backend has another weight")
	}
	return nil
}

func (b *backendsAdmin) tell(at proxy.BackendStatus) *zerolog.Event {
	return b.log.Info().Str("by", "admin").Str("group", at.Group).Str("backend", at.Name)
}

// find returns the backend of that name, or at that address: of that group, or, for "", of the only one that has it.
func (b *backendsAdmin) find(group, name string) (proxy.BackendStatus, *refusal) {
	var found []proxy.BackendStatus
	var groups, names []string
	for _, one := range b.keeper.Backends() {
		if group != "" && one.Group != group || one.Status == proxy.StatusRemoved {
			continue
		}
		names = append(names, one.Name, one.Address)
		if one.Name == name || one.Address == name {
			found = append(found, one)
			if !slices.Contains(groups, one.Group) {
				groups = append(groups, one.Group)
			}
		}
	}
	if len(groups) == 1 {
		return found[0], nil
	}
	if len(groups) > 1 {
		return proxy.BackendStatus{}, &refusal{http.StatusBadRequest, fmt.Sprintf("backend %s: several groups have one: %s; say which by group (--group)", settings.Shown(name), strings.Join(groups, ", "))}
	}
	where := ""
	if group != "" {
		where = " in group " + settings.Shown(group)
	}
	reason := fmt.Sprintf("backend %s: there is none of that name%s", settings.Shown(name), where)
	if near := settings.Nearest(name, names); near != "" {
		reason += ", did you mean " + settings.Shown(near) + "?"
	} else {
		reason += "; culvert backend list has those that there are"
	}
	return proxy.BackendStatus{}, &refusal{http.StatusNotFound, reason}
}

// readOrder reads a body of JSON or of a form that has these keys and no others. A name must be there, and what the last
// key says, unless that is "for".
func readOrder(w http.ResponseWriter, r *http.Request, keys []string) (order, *refusal) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, orderBytes))
	if err != nil {
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("a body of at most %d bytes is read", orderBytes)}
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var o order
	switch kind {
	case "application/json":
		o, err = orderOfJSON(body)
	case "application/x-www-form-urlencoded":
		o, err = orderOfForm(string(body))
	default:
		return nil, &refusal{http.StatusUnsupportedMediaType, "say what is asked for as application/json or application/x-www-form-urlencoded"}
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err.Error()}
	}
	for key := range o {
		if !slices.Contains(keys, key) {
			return nil, &refusal{http.StatusBadRequest, "unknown: " + settings.Shown(key) + "; there are: " + strings.Join(keys, ", ")}
		}
	}
	for _, key := range keys {
		if _, given := o[key]; !given && key != "group" && key != "for" {
			return nil, &refusal{http.StatusBadRequest, key + " is missing"}
		}
	}
	return o, nil
}

var errNoOrder = errors.New("not an object of texts and numbers, such as {\"name\": \"10.0.0.1:80\"}")

func orderOfJSON(body []byte) (order, error) {
	var values map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil || values == nil {
		return nil, errNoOrder
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errNoOrder
	}
	o := order{}
	for key, value := range values {
		switch v := value.(type) {
		case string:
			o[key] = v
		case json.Number:
			o[key] = v.String()
		default:
			return nil, errNoOrder
		}
	}
	return o, nil
}

func orderOfForm(body string) (order, error) {
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, errors.New("not a form")
	}
	o := order{}
	for key, all := range values {
		if len(all) > 1 {
			return nil, errors.New(settings.Shown(key) + ": given twice")
		}
		o[key] = all[0]
	}
	return o, nil
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(value)
}
