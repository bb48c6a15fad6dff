package settings

// spec is a size of instance, as a cloud sells it.
type spec struct{ connections, newConnections, requests int }

// specs are by name; "none" is none of them.
var specs = map[string]spec{
	"slb.s1.small":   {5_000, 3_000, 1_000},
	"slb.s2.small":   {50_000, 5_000, 5_000},
	"slb.s2.medium":  {100_000, 10_000, 10_000},
	"slb.s3.small":   {200_000, 20_000, 20_000},
	"slb.s3.medium":  {500_000, 50_000, 30_000},
	"slb.s3.large":   {1_000_000, 100_000, 50_000},
	"slb.s3.xlarge":  {2_000_000, 200_000, 100_000},
	"slb.s3.xxlarge": {5_000_000, 500_000, 100_000},
}

// applySpec sets the limits of the size that was asked for, those that were not given themselves.
func (i *Invocation) applySpec() {
	if i.Settings == nil {
		return
	}
	limits := &i.Settings.Limits
	s, ok := specs[limits.Spec]
	if !ok {
		return
	}
	for _, one := range []struct {
		flag  string
		limit *int
		value int
	}{
		{"max-connections", &limits.MaxConnections, s.connections},
		{"max-new-connections", &limits.MaxNewConnections, s.newConnections},
		{"max-requests", &limits.MaxRequests, s.requests},
	} {
		if !i.Given(one.flag) {
			*one.limit = one.value
		}
	}
}
