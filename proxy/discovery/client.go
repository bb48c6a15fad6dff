package discovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const second = int64(time.Second)

// client asks servers. Workers share it.
type client struct {
	system   *system
	exchange Exchange
}

// ask puts a question for an absolute name to the servers in turn, until one answers it.
func (c *client) ask(ctx context.Context, name string, kind dnsmessage.Type) answer {
	owner, err := dnsmessage.NewName(name)
	if err != nil {
		return answer{err: err}
	}
	q := dnsmessage.Question{Name: owner, Type: kind, Class: dnsmessage.ClassINET}
	config, _ := c.system.look()
	last := answer{silent: true}
	for range config.attempts {
		for _, server := range config.servers {
			a, answered, err := c.askServer(ctx, config, server, q)
			if err == nil {
				return a
			}
			if ctx.Err() != nil {
				return answer{err: ctx.Err(), silent: true}
			}
			last.silent = last.silent && !answered
			last.err = fmt.Errorf("%w, says %s", err, server)
			if errors.Is(err, errTimeout) {
				last.err = fmt.Errorf("%s does not answer", server)
			}
		}
	}
	return last
}

// askServer puts a question to one server, by TCP if the answer is too long for UDP, and without EDNS if that is what it
// does not understand. answered: the server lives, for all that it may be of no help.
func (c *client) askServer(ctx context.Context, config *resolverConfig, server netip.AddrPort, q dnsmessage.Question) (a answer, answered bool, err error) {
	network := "udp"
	for extended := true; ; {
		query, err := appendQuery(nil, uint16(rand.Uint32()), q, extended)
		if err != nil {
			return a, answered, err
		}
		message, err := c.within(ctx, config.timeout, network, server, query)
		if err != nil {
			return a, answered, err
		}
		answered = true
		a, truncated, err := readAnswer(q, message)
		code, refused := err.(rcodeError)
		switch {
		case truncated && network == "udp":
			network = "tcp"
		case truncated:
			return a, true, errMalformed
		case refused && extended && (dnsmessage.RCode(code) == dnsmessage.RCodeFormatError || dnsmessage.RCode(code) == dnsmessage.RCodeNotImplemented):
			extended = false
		default:
			return a, true, err
		}
	}
}

// within bounds an exchange. An Exchange that is not ours may return anything.
func (c *client) within(ctx context.Context, timeout int64, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(timeout))
	defer cancel()
	message, err := c.exchange(ctx, network, server, query)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, errTimeout
	case err != nil:
		return nil, err
	case !answers(query, message):
		return nil, errMalformed
	}
	return message, nil
}

// hostAnswer is what is known of a host's addresses, by family.
type hostAnswer struct{ four, six answer }

// host looks a name up: in the hosts file, then by DNS, as all the names that it may stand for. The first that has
// addresses counts; where nobody can say whether one has, the others are not asked, for they are other hosts.
func (c *client) host(ctx context.Context, name string) hostAnswer {
	config, hosts := c.system.look()
	if listed := hosts[strings.ToLower(strings.TrimSuffix(name, "."))]; listed != nil {
		return fromHosts(listed)
	}
	var h hostAnswer
	for _, full := range config.names(name) {
		h = c.absolute(ctx, full)
		if h.four.outcome != none || h.six.outcome != none {
			break
		}
	}
	return h
}

// absolute asks for the addresses of one name.
func (c *client) absolute(ctx context.Context, name string) hostAnswer {
	h := hostAnswer{four: c.ask(ctx, name, dnsmessage.TypeA)}
	h.six = h.four
	if !h.four.silent { // else nobody would answer this either
		h.six = c.ask(ctx, name, dnsmessage.TypeAAAA)
	}
	return h
}

// fromHosts is what the hosts file says: it is certain, of both families.
func fromHosts(listed []netip.Addr) hostAnswer {
	h := hostAnswer{four: answer{outcome: found}, six: answer{outcome: found}}
	for _, a := range listed {
		if a.Is4() {
			h.four.addresses = append(h.four.addresses, a)
		} else {
			h.six.addresses = append(h.six.addresses, a)
		}
	}
	return h
}
