package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxUDP is the size in bytes up to which an answer may come by UDP (RFC 6891; the size that DNS flag day 2020 chose
	// because it is not fragmented).
	maxUDP = 1232
	// maxAliases bounds the CNAME records between a name and its addresses.
	maxAliases = 16
)

// outcome is what became of a question.
type outcome uint8

const (
	failed outcome = iota // nobody could say
	found                 // there are such records, or it is certain that there are none
	none                  // the name does not exist, or has no such records
)

// answer is what was said to a question.
type answer struct {
	outcome   outcome
	addresses []netip.Addr // to A and AAAA
	services  []service    // to SRV
	ttl       int64        // nanoseconds, as given
	err       error        // why there is nothing, unless something was found
	silent    bool         // failed: no server answered at all
}

// service is an SRV record.
type service struct {
	target           string // absolute, in lower case
	port             uint16
	priority, weight uint16
}

// Errors of answers. They follow the name.
var (
	errNoName    = errors.New("the name does not exist")
	errNoRecords = errors.New("the name has no such records")
	errMalformed = errors.New("the answer is malformed")
	errLame      = errors.New("the server knows nothing of the name and asks nobody")
)

// rcodeError is an answer that says no more than that.
type rcodeError dnsmessage.RCode

// Error names the code as operators know it.
func (e rcodeError) Error() string {
	switch dnsmessage.RCode(e) {
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	case dnsmessage.RCodeFormatError:
		return "FORMERR"
	case dnsmessage.RCodeNotImplemented:
		return "NOTIMP"
	}
	return fmt.Sprintf("response code %d", uint16(e))
}

// appendQuery appends a question. extended says that we know EDNS.
func appendQuery(dst []byte, id uint16, q dnsmessage.Question, extended bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(dst, dnsmessage.Header{ID: id, RecursionDesired: true})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q); err != nil {
		return nil, err
	}
	if extended {
		var header dnsmessage.ResourceHeader
		if err := header.SetEDNS0(maxUDP, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		if err := b.StartAdditionals(); err != nil {
			return nil, err
		}
		if err := b.OPTResource(header, dnsmessage.OPTResource{}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// answers reports whether a message is a response to a query, which is one of ours, as far as its beginning shows. What is
// not may come from anyone, and says nothing.
func answers(query, message []byte) bool {
	var p dnsmessage.Parser
	asked, err := p.Start(query)
	if err != nil {
		return false
	}
	question, err := p.Question()
	if err != nil {
		return false
	}
	said, err := p.Start(message)
	if err != nil || said.ID != asked.ID || !said.Response {
		return false
	}
	repeated, err := p.Question()
	return err == nil && repeated.Type == question.Type && repeated.Class == question.Class &&
		strings.EqualFold(repeated.Name.String(), question.Name.String())
}

// record is one that may belong to the answer.
type record struct {
	owner   string
	ttl     uint32
	alias   string // of a CNAME
	address netip.Addr
	service service
}

// readAnswer reads a response, for which answers is true. truncated: it is to be asked for again by TCP. An error says
// that this server is of no help.
func readAnswer(q dnsmessage.Question, message []byte) (a answer, truncated bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil {
		return a, false, errMalformed
	}
	if h.Truncated {
		return a, true, nil
	}
	if h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError {
		return a, false, rcodeError(h.RCode)
	}
	if p.SkipAllQuestions() != nil {
		return a, false, errMalformed
	}
	records, err := readRecords(&p, q.Type)
	if err != nil {
		return a, false, errMalformed
	}
	a = collect(q, records)
	if a.outcome == found {
		return a, false, nil
	}
	if h.RCode == dnsmessage.RCodeSuccess && !h.Authoritative && !h.RecursionAvailable && len(records) == 0 {
		return a, false, errLame
	}
	a.err = errNoRecords
	if h.RCode == dnsmessage.RCodeNameError {
		a.err = errNoName
	}
	a.ttl = negativeTTL(&p)
	return a, false, nil
}

// readRecords reads the answer section: what is of the type asked for, and aliases.
func readRecords(p *dnsmessage.Parser, wanted dnsmessage.Type) (records []record, err error) {
	for {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		r := record{owner: strings.ToLower(h.Name.String()), ttl: h.TTL}
		switch {
		case h.Class != dnsmessage.ClassINET || h.Type != wanted && h.Type != dnsmessage.TypeCNAME:
			err = p.SkipAnswer()
			if err == nil {
				continue
			}
		case h.Type == dnsmessage.TypeA:
			var body dnsmessage.AResource
			body, err = p.AResource()
			r.address = netip.AddrFrom4(body.A)
		case h.Type == dnsmessage.TypeAAAA:
			var body dnsmessage.AAAAResource
			body, err = p.AAAAResource()
			r.address = netip.AddrFrom16(body.AAAA).Unmap()
		case h.Type == dnsmessage.TypeSRV:
			var body dnsmessage.SRVResource
			body, err = p.SRVResource()
			r.service = service{strings.ToLower(body.Target.String()), body.Port, body.Priority, body.Weight}
		default:
			var body dnsmessage.CNAMEResource
			body, err = p.CNAMEResource()
			r.alias = strings.ToLower(body.CNAME.String())
		}
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
}

// collect follows the aliases from the name that was asked for, and takes the records at their end. All others are
// nobody's.
func collect(q dnsmessage.Question, records []record) answer {
	a := answer{outcome: none}
	aliases := map[string]record{}
	for _, r := range records {
		if r.alias != "" {
			aliases[r.owner] = r
		}
	}
	owner, ttl := strings.ToLower(q.Name.String()), uint32(1<<31-1)
	for range maxAliases {
		r, ok := aliases[owner]
		if !ok {
			break
		}
		owner, ttl = r.alias, min(ttl, seconds(r.ttl))
	}
	for _, r := range records {
		if r.owner != owner || r.alias != "" || r.service.target == "." || len(a.addresses)+len(a.services) >= MaxEndpoints {
			continue // a service at "." is decidedly not available (RFC 2782)
		}
		a.outcome = found
		ttl = min(ttl, seconds(r.ttl))
		if r.address.IsValid() {
			a.addresses = append(a.addresses, r.address)
		} else {
			a.services = append(a.services, r.service)
		}
	}
	slices.SortFunc(a.addresses, netip.Addr.Compare)
	a.addresses = slices.Compact(a.addresses)
	if a.outcome == found {
		a.ttl = int64(ttl) * second
	}
	return a
}

// seconds reads a TTL: one with its top bit set is 0 (RFC 2181 8).
func seconds(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// negativeTTL returns how long it holds, in nanoseconds, that there is nothing (RFC 2308 5); 0 if it is not said.
func negativeTTL(p *dnsmessage.Parser) int64 {
	if p.SkipAllAnswers() != nil {
		return 0
	}
	for {
		h, err := p.AuthorityHeader()
		if err != nil {
			return 0
		}
		if h.Type != dnsmessage.TypeSOA {
			if p.SkipAuthority() != nil {
				return 0
			}
			continue
		}
		soa, err := p.SOAResource()
		if err != nil {
			return 0
		}
		return int64(min(seconds(h.TTL), seconds(soa.MinTTL))) * second
	}
}
