package configfile

import (
	"fmt"
	"testing"
)

const balancingFile = "../../../docs/balancing.md"

// TestBalancingDoc is TestConfigurationDoc for the part that is about how servers are chosen.
func TestBalancingDoc(t *testing.T) {
	sameAs(t, balancingFile, fmt.Appendf(nil, documentBalancing, fieldsTable(scheduleFields()), fieldsTable(stickyFields()), fieldsTable(checkFields()),
		fieldsTable(outlierFields()), fieldsTable(discoveryFields())))
}

const documentBalancing = `# How servers are chosen

This page is made from the model of the file by ` + "`go test ./cmd/internal/configfile -update`" + `; a test compares them.

What a group of the configuration file ([configuration.md](configuration.md#a-group)) can say of its servers. Of the one group of a command line, flags say a part of it
([flags.md](flags.md#balancing)). Examples: [long-lived-tunnels.yaml](examples/long-lived-tunnels.yaml), [sticky-sessions.yaml](examples/sticky-sessions.yaml),
[discovery.yaml](examples/discovery.yaml).

## Schedule

` + "`schedule: wlc`" + ` names an algorithm; a mapping says more of it:

%s
| algorithm | takes |
| --- | --- |
| ` + "`wrr`" + ` | servers in turn, each as often as its weight says |
| ` + "`rr`" + ` | servers in turn, whatever their weights |
| ` + "`wlc`" + ` | the server with the fewest connections for its weight: the right one for tunnels that live long |
| ` + "`least-time`" + ` | the server that answers fastest for its connections and its weight |
| ` + "`p2c`" + ` | of two servers drawn by weight the one with fewer connections for it |
| ` + "`hash`" + ` | the same server for the same client, or the same part of a request, as long as it is there |

With a ` + "`load-factor`" + `, requests of a server that has more than so much go to others one by one: not for applications whose sessions, or rooms, are known to one
server alone.

A server of weight 0, one that is drained, fails its checks or is ejected gets no new requests. A rule may have a ` + "`schedule`" + ` and a ` + "`sticky`" + ` of its own,
in place of its group's. A server that is there twice, by two names for one address, counts once, as the first of them says.

## Stickiness

A client that has a cookie of a server gets to it again, as long as that takes requests. ` + "`sticky: insert`" + ` adds a cookie of ours;
` + "`sticky: rewrite:NAME`" + ` marks the one of this name that the server sets itself, as session frameworks do. No answer of class 4xx sets one;
a 101 does, so that an upgrade is brought back too. Or a mapping:

%s
With ` + "`rewrite`" + ` the lifetime and the attributes are the server's. Cookies are signed; ` + "`key-file`" + `, which other users of the machine must not be able to read, lets several
machines, and a process after a restart, take each other's. It has a key a line, 64 hexadecimal digits as ` + "`openssl rand -hex 32`" + ` makes them, 16 at most, and is read at a start and at a
reload. The first key signs, all of them are accepted: a new one is put last everywhere, then first, and the old one is removed when its cookies are over. A cookie
of ours is set anew when half of its lifetime is over; one without a lifetime is honoured for 30 days.

## Health checks

` + "`check: http`, `tcp` or `websocket`" + ` checks every server of the group; without it nothing is checked, since not every server answers a request that nobody
has told it of. What a check finds first counts at once. Live tunnels of a server that is down live on, unless ` + "`end-when-down`" + ` is said. Where every server
is down, requests get 503. More is said by a mapping:

%s
## Outliers

What becomes of requests tells of servers too, without any check: one whose requests fail (no connection, no valid answer, a tunnel that it resets within a second) several times in
a row gets none for a while. That is so by default, as with nginx; ` + "`outliers: off`" + ` has it never happen. No more than a part of the group is ejected at a time, half of it if nothing is said: then the only server of a group never is.
An answer of any status is no failure, not even a 500. An ejection is forgotten when the server has been good for as long as it lasted.

%s
## Discovery

The servers of a source come and go while the proxy runs, beside those of ` + "`servers`" + `. What was found last counts until something else is: a resolver that does not answer,
and a file that cannot be read, change nothing.

%s
It has one of ` + "`dns`, `srv` and `file`" + `. A file is a list in YAML or JSON, of addresses, not names; where it is not there yet, the group begins without its servers. There are at most 16
resolvers, and 10,000 servers in a file.
Each has an ` + "`address`" + `, and if need be a ` + "`weight` and `secondary`" + `.

` + "```yaml" + `
- 10.0.0.2:80
- {address: "[2001:db8::1]:80", weight: 3, secondary: true}
` + "```" + `

## Draining

A server with ` + "`drain: true`" + ` in the file, or one that ` + "`culvert backend drain NAME`" + ` was said of ([flags.md](flags.md#the-admin-port)), gets no new requests; its tunnels live on, for
` + "`drain-for`, or `--for`" + `, if that is said. Then they are ended one by one, ` + "`end-rate`" + ` of them per second, so that their clients come back at a pace that
the other servers can bear. A server that is used again begins slowly, where the group has ` + "`slow-start`" + `. ` + "`culvert backend undrain NAME`" + ` uses one again that
the file drains too, over reloads, until a file is read that does not drain it.

## Secondary servers

Those with ` + "`secondary: true`" + ` are asked where no primary server takes requests: where all of them are down, ejected, drained, of weight 0, or have as many connections as
` + "`max-connections`" + ` allows. So a request waits in the ` + "`queue`" + ` only where they have no place either.

## Retries

A request whose connection to a server does not come about is given to another one: 3 servers at most, within ` + "`connect-total-timeout`" + `, and not more often than ` + "`retry-share`" + ` allows beside
ten per second that are free. Once a request has been sent, no other server gets it, whatever becomes of it: its client gets 502 or 504. Only where the connection was
kept from a request before is it sent again, to the same server, if it has no body and a method that may be repeated.

## Watching

` + "`culvert backend list`" + ` has a line for each server, ` + "`/backends`" + ` the same as JSON. It is ` + "`serving`, `draining`, of `weight-0`, `down`" + ` by its checks, with the reason, or ` + "`ejected`" + `; one that
the configuration does not have any more is ` + "`removed`" + ` as long as it has connections. How many wait
is told beside each, and counts for the whole group. How long a request did is ` + "`queue_ms`" + ` in the access log. ` + "`/metrics`" + ` has, each with the prefix ` + "`culvert_`" + `:

| metric | what it says |
| --- | --- |
| ` + "`backend_status`" + ` | 1 for the status that a server has |
| ` + "`backend_connections_active`, `backend_weight`, `backend_share_ratio`" + ` | connections, the weight that counts, and how much of it a slow start gives by now |
| ` + "`backend_answers_total`, `backend_answer_seconds`" + ` | answers by the ` + "`class`" + ` of their status, tunnels opened as 1xx; and how long they take |
| ` + "`backend_dial_failures_total`, `backend_ejections_total`" + ` | connections that did not come about, and ejections |
| ` + "`backends_healthy`, `backends_unhealthy`" + ` | servers of a group against which nothing speaks, and those that are down or ejected |
| ` + "`health_checks_total`" + ` | checks by their result |
| ` + "`requests_waiting`, `requests_queued_total`" + ` | those that wait now, and all that had to |
| ` + "`dial_retries_total`, `dial_retries_refused_total`" + ` | retries, and those that ` + "`retry-share`" + ` did not allow |
| ` + "`discovery_servers`, `discovery_stale`" + ` | servers that a source has, and whether what was known before holds |
| ` + "`tunnels_ended_total`, `exchanges_ended_total`" + ` | by ` + "`reason`" + `, such as ` + "`drained`, `backend-down` and `queue-timeout`" + `; see [endings.md](endings.md) |

## For those who know nginx or HAProxy

| there | here |
| --- | --- |
| ` + "`least_conn`, `leastconn` | `schedule: wlc`" + ` |
| ` + "`roundrobin` | `schedule: wrr`" + `, the default |
| ` + "`ip_hash`, `balance source`; `hash $http_x consistent`, `balance hdr(x)` | `schedule: hash`; `hash`" + ` with ` + "`hash-by`" + `, always consistent |
| ` + "`backup` | `secondary: true`" + ` |
| ` + "`max_conns`, `maxconn`; `queue`, `timeout queue` | `max-connections`" + ` of a server; ` + "`queue`, `queue-timeout`" + ` of its group |
| ` + "`max_fails`, `fail_timeout`, `observe` | `outliers`" + ` |
| ` + "`health_check`, `option httpchk`; `inter`, `rise`, `fall` | `check`; `interval`, `healthy`, `unhealthy`" + ` |
| ` + "`slow_start`, `slowstart` | `slow-start`" + ` of the group |
| ` + "`sticky cookie`, `cookie NAME insert`; `cookie NAME prefix` | `sticky: insert:NAME`; `sticky: rewrite:NAME`" + ` |
| ` + "`proxy_next_upstream`, `retries`, `option redispatch`" + ` | always, for connections that do not come about; see above |
| ` + "`down`, `disabled`; `set server state drain`, `ready` | `drain: true`; `culvert backend drain`, `undrain`" + ` |
| ` + "`on-marked-down shutdown-sessions` | `end-when-down: true`" + ` |
`
