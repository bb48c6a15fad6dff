package discovery

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"
)

// never is the time of what is not going to happen.
const never = int64(math.MaxInt64)

// defaultWorkers is how many sources are asked at a time.
const defaultWorkers = 8

// entry is a source that is watched. It belongs to the watcher's goroutine, but what is behind finder belongs to the
// worker that has it while it is being asked.
type entry struct {
	source   Source
	finder   finder
	due      int64
	position int  // in the queue; -1: it is not there, but with a worker, or settled for ever
	dropped  bool // it is watched no longer
	told     *Update
}

// finder finds the endpoints of one source.
type finder interface {
	// refresh asks for what is due.
	refresh(ctx context.Context, w *work)
	// due returns when it is to be asked again, on the clock.
	due() int64
	// state returns what is believed, whether anything is, and what speaks against it.
	state() (set Set, known bool, doubt error)
}

// work is what finders work with. Immutable.
type work struct {
	client *client
	clock  func() int64
	limits limits
}

// Watcher watches sources. Its methods may be called by any goroutine but that of Options.Notify.
type Watcher struct {
	work    work
	notify  func(Update)
	most    int // workers
	replace chan []Source
	stop    context.CancelFunc
	ended   chan struct{}

	// Owned by run.
	entries map[Source]*entry
	waiting queue
	busy    int
	started int // workers
	jobs    chan *entry
	done    chan *entry
	workers sync.WaitGroup
}

// Start begins to watch sources. It does not wait for any. The caller stops the watcher.
func Start(o Options, sources []Source) (*Watcher, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := validateAll(sources); err != nil {
		return nil, err
	}
	s := &system{resolvConf: "/etc/resolv.conf", hostsFile: "/etc/hosts", given: o.Servers, clock: o.Clock}
	if o.ResolvConf != "" {
		s.resolvConf = o.ResolvConf
	}
	if o.Hosts != "" {
		s.hostsFile = o.Hosts
	}
	c := &client{system: s, exchange: o.Exchange}
	if c.exchange == nil {
		c.exchange = networkExchange
	}
	w := &Watcher{
		work: work{client: c, clock: o.Clock, limits: o.limits()}, notify: o.Notify, most: o.Workers,
		replace: make(chan []Source), ended: make(chan struct{}), entries: map[Source]*entry{},
	}
	if w.most == 0 {
		w.most = defaultWorkers
	}
	w.jobs, w.done = make(chan *entry, w.most), make(chan *entry, w.most)
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	w.adopt(sources)
	// goroutine: watcher of sources, ends when Stop is called
	go w.run(ctx)
	return w, nil
}

func validateAll(sources []Source) error {
	for i := range sources {
		if err := sources[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Replace has other sources watched from now on. What is known of those that stay is kept, and not told again; nothing is
// told any more of those that are gone.
func (w *Watcher) Replace(sources []Source) error {
	if err := validateAll(sources); err != nil {
		return err
	}
	select {
	case w.replace <- sources:
	case <-w.ended:
	}
	return nil
}

// Stop ends all of it and waits for that: nothing is told afterwards. What is being asked is given up.
func (w *Watcher) Stop() {
	w.stop()
	<-w.ended
}

// run hands sources that are due to workers, and tells what has become of them.
func (w *Watcher) run(ctx context.Context) {
	defer close(w.ended)
	defer w.workers.Wait()
	defer close(w.jobs)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(w.handOut(ctx))
		select {
		case <-ctx.Done():
			return
		case sources := <-w.replace:
			w.adopt(sources)
		case e := <-w.done:
			w.busy--
			w.takeBack(e)
		case <-timer.C:
		}
	}
}

// idle is how long there is nothing to do by itself, at most.
const idle = time.Hour

// handOut gives what is due to workers, as long as there are any, and returns how long it is until there is more.
func (w *Watcher) handOut(ctx context.Context) time.Duration {
	for len(w.waiting) > 0 && w.busy < w.most {
		now := w.work.clock()
		if next := w.waiting[0].due; next > now {
			return min(time.Duration(next-now), idle)
		}
		e := heap.Pop(&w.waiting).(*entry)
		if w.busy == w.started {
			w.started++
			w.workers.Add(1)
			// goroutine: worker that asks sources, ends when the watcher does
			go w.ask(ctx)
		}
		w.busy++
		w.jobs <- e
	}
	return idle
}

// ask is a worker.
func (w *Watcher) ask(ctx context.Context) {
	defer w.workers.Done()
	for e := range w.jobs {
		if ctx.Err() == nil {
			e.finder.refresh(ctx, &w.work)
		}
		w.done <- e
	}
}

// takeBack tells of a source that was asked, if there is something new, and has it wait.
func (w *Watcher) takeBack(e *entry) {
	if e.dropped {
		return
	}
	u := e.update()
	if e.due = e.finder.due(); e.due != never {
		heap.Push(&w.waiting, e)
	}
	if e.told == nil || e.told.Known != u.Known || e.told.Warning != u.Warning || !e.told.Set.Equal(u.Set) {
		e.told = &u
		w.notify(u)
	}
}

// update returns what is to be told of a source.
func (e *entry) update() Update {
	set, known, doubt := e.finder.state()
	u := Update{Source: e.source, Set: set, Known: known || e.told != nil && e.told.Known}
	if len(u.Set) > MaxEndpoints {
		u.Set = u.Set[:MaxEndpoints:MaxEndpoints]
		doubt = fmt.Errorf("there are more than %d endpoints; the rest is left out", MaxEndpoints)
	}
	if doubt == nil {
		return u
	}
	u.Warning = doubt.Error()
	if e.source.Kind != File { // whose problems name it, with the line
		u.Warning = e.source.Name + ": " + u.Warning
	}
	if u.Known {
		u.Warning += "; what was known stays"
	}
	return u
}

// adopt makes sources those that are watched. New ones are due at once.
func (w *Watcher) adopt(sources []Source) {
	kept := map[Source]*entry{}
	for _, s := range sources {
		if kept[s] != nil {
			continue
		}
		e := w.entries[s]
		if e == nil {
			e = &entry{source: s, finder: newFinder(s), due: w.work.clock()}
			heap.Push(&w.waiting, e)
		}
		kept[s] = e
	}
	for s, e := range w.entries {
		if kept[s] == nil {
			e.dropped = true
			if e.position >= 0 {
				heap.Remove(&w.waiting, e.position)
			}
		}
	}
	w.entries = kept
}

func newFinder(s Source) finder {
	switch s.Kind {
	case File:
		return &fileSource{watch: fileWatch{name: s.Name}}
	case Services:
		return &serviceSource{name: s.Name}
	}
	if a, err := netip.ParseAddr(s.Name); err == nil {
		return &literalSource{Set{{Address: netip.AddrPortFrom(a.Unmap(), s.Port), Weight: s.Weight}}}
	}
	return &hostSource{source: s, host: host{name: s.Name}}
}

// String names the source for people.
func (s Source) String() string {
	switch s.Kind {
	case Addresses:
		return fmt.Sprintf("%s, port %d", s.Name, s.Port)
	case Services:
		return "services of " + s.Name
	}
	return "file " + s.Name
}

// queue is a heap of sources by the time at which they are due.
type queue []*entry

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].position, q[j].position = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.position = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	e.position = -1
	*q = (*q)[:last]
	return e
}
