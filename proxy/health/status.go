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

// Weights returns what a scheduler may give to each of a group's members: of those with the lowest priority that can
// serve, the weight times the share, in the smallest numbers of the same proportions; of all others 0.
//
// Where nobody can serve it returns nil: there is nothing to try, and requests get 503 at once. There is no "panic mode"
// in which failing members are tried all the same: a check says more than the hope that it is wrong, and clients that
// are told at once come back at a time of their choosing.
func Weights(members []Member) []int {
	weights, serving := make([]int, len(members)), false
	var first uint16
	for i := range members {
		m := &members[i]
		if m.Status() == Serving && (!serving || m.Priority < first) {
			serving, first = true, m.Priority
		}
	}
	if !serving {
		return nil
	}
	for i := range members {
		if m := &members[i]; m.Status() == Serving && m.Priority == first {
			weights[i] = m.Weight * max(m.Share, 1)
		}
	}
	return reduced(weights)
}

// reduced divides weights by what they have in common: the fewer rounds a scheduler needs, the evener each is.
func reduced(weights []int) []int {
	common := 0
	for _, w := range weights {
		common = greatestCommonDivisor(common, w)
	}
	if common > 1 {
		for i := range weights {
			weights[i] /= common
		}
	}
	return weights
}

func greatestCommonDivisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
