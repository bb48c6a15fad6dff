package health

// Status is what a member may be given, all things considered. Of several reasons against it the first of these counts,
// for that is what an operator asks about: what was ordered before what was found out.
type Status uint8

const (
	// Serving: new requests.
	Serving Status = iota
	// Draining: no new requests; it is about to leave.
	Draining
	// Resting: no new requests, for its weight is 0. It counts as healthy.
	Resting
	// Failing: no new requests, for it fails its checks.
	Failing
	// Ejected: none for a while, for it failed its requests.
	Ejected
)

// String returns the status's stable token.
func (s Status) String() string {
	switch s {
	case Serving:
		return "serving"
	case Draining:
		return "draining"
	case Resting:
		return "weight-0"
	case Failing:
		return "down"
	case Ejected:
		return "ejected"
	}
	return "invalid"
}

// Healthy reports whether the member counts as healthy: neither its checks nor its requests speak against it.
func (s Status) Healthy() bool { return s != Failing && s != Ejected }

// Member is all that decides what a member of a group may be given.
type Member struct {
	// Weight is as configured, 0 to 100, or as discovered. Priority says who is asked first: the lowest that can serve. A
	// primary has 0, a secondary 1.
	Weight   int
	Priority uint16
	// Draining, Checks and Ejected are the group's owner's, the Checker's and the Outliers' say.
	Draining bool
	Checks   State
	Ejected  bool
	// Share is what SlowStart says, in percent.
	Share int
}

// Status combines what is known.
func (m *Member) Status() Status {
	switch {
	case m.Draining:
		return Draining
	case m.Weight <= 0:
		return Resting
	case m.Checks == Down:
		return Failing
	case m.Ejected:
		return Ejected
	}
	return Serving
}
