/*
 * The floor: what it costs at least to pass bytes between two TCP sockets on
 * one thread. It parses nothing, has no timer, no limit, no log and no choice
 * of backend, so a proxy that does its work can at best come close to it.
 *
 *     floor LISTEN_PORT BACKEND_PORT
 *
 * It listens on 127.0.0.1:LISTEN_PORT and connects each client to
 * 127.0.0.1:BACKEND_PORT. A small message costs one epoll_wait, one recv and one
 * send. It prints "ready" once clients can connect.
 *
 * What a destination does not take is kept, and its source is not read until
 * all of it is gone: at most one read per direction is ever held. A half-close
 * is passed on as a half-close and a reset as a reset, so that tests of what
 * runs through it mean the same as without it. Running out of descriptors or
 * memory ends the process: it measures, it does not serve.
 *
 * Copyright the Culvert authors. Apache License 2.0, see LICENSE.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 64 << 10, EVENTS_PER_WAIT = 512, BACKLOG = 4096 };

/* One socket. What it is still to be sent, and whether its source has ended. */
struct end {
	struct end *other;
	char *rest; /* what the socket did not take, or NULL */
	uint32_t rest_at, rest_size;
	int fd;
	bool open;     /* its connection is established */
	bool readable; /* its input was not read until it was empty */
	bool ending;   /* its input's end is among what can be read */
	bool finished; /* its input has ended */
	bool shut;     /* its output was shut down */
};

/* The two sockets of a client; they live and die together. */
struct tunnel {
	struct end client, backend;
	struct tunnel *next_dead;
	bool dead;
};

static char buffer[READ_SIZE]; /* the one read buffer */
static int poller;
static struct tunnel *dead_tunnels; /* freed after the batch: later events of it may name them */
static struct sockaddr_in backend_address;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct tunnel *tunnel_of(struct end *e)
{
	bool is_client = e < e->other; /* the client's end is the first in its tunnel */
	return (struct tunnel *)(void *)(is_client ? e : e->other);
}

static void end_tunnel(struct end *e, bool reset)
{
	struct tunnel *t = tunnel_of(e);
	struct linger abort_it = {1, 0};
	struct end *ends[2] = {&t->client, &t->backend};

	if (t->dead)
		return;
	for (int i = 0; i < 2; i++) {
		if (reset)
			setsockopt(ends[i]->fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof abort_it);
		close(ends[i]->fd);
		free(ends[i]->rest);
	}
	t->dead = true;
	t->next_dead = dead_tunnels;
	dead_tunnels = t;
}

/* pass_end shuts down the output of an end whose source has finished and for which nothing is left. */
static void pass_end(struct end *to)
{
	if (to->rest || !to->other->finished || to->shut)
		return;
	to->shut = true;
	if (to->finished && to->other->shut) {
		end_tunnel(to, false); /* close() sends the FIN */
		return;
	}
	shutdown(to->fd, SHUT_WR);
}

/* keep stores what `to` did not take; its source rests until flush has sent it. */
static void keep(struct end *to, const char *bytes, size_t size)
{
	to->rest = malloc(size);
	if (!to->rest)
		die("malloc");
	memcpy(to->rest, bytes, size);
	to->rest_at = 0;
	to->rest_size = (uint32_t)size;
}

/*
 * pump moves what `from` has to its other end, until there is no more or the
 * other end is full. The epoll set is edge-triggered: a read that did not fill
 * the buffer has emptied the socket, and what comes later is a new event. Only
 * an end of the input that is already known needs one more read.
 */
static void pump(struct end *from)
{
	struct end *to = from->other;

	while (to->open && !to->rest && !from->finished) {
		ssize_t got = recv(from->fd, buffer, sizeof buffer, 0);
		if (got > 0) {
			ssize_t sent = send(to->fd, buffer, (size_t)got, MSG_NOSIGNAL);
			if (sent < 0 && errno != EAGAIN) {
				end_tunnel(from, true);
				return;
			}
			if (sent < 0)
				sent = 0;
			if (sent < got)
				keep(to, buffer + sent, (size_t)(got - sent));
			if (got < (ssize_t)sizeof buffer && !from->ending) {
				from->readable = false;
				return;
			}
		} else if (got == 0) {
			from->finished = true;
			pass_end(to);
			return;
		} else if (errno == EAGAIN) {
			from->readable = false;
			return;
		} else if (errno != EINTR) {
			end_tunnel(from, true);
			return;
		}
	}
}

/* flush sends the rest of `to`; it reports whether its source may be read again. */
static bool flush(struct end *to)
{
	while (to->rest) {
		ssize_t sent = send(to->fd, to->rest + to->rest_at, to->rest_size - to->rest_at, MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno != EAGAIN)
				end_tunnel(to, true);
			return false;
		}
		to->rest_at += (uint32_t)sent;
		if (to->rest_at == to->rest_size) {
			free(to->rest);
			to->rest = NULL;
		}
	}
	return true;
}

static void handle(struct end *e, uint32_t events)
{
	struct tunnel *t = tunnel_of(e);

	if (t->dead)
		return;
	if (events & EPOLLERR) {
		end_tunnel(e, true); /* a reset, or a connect that failed */
		return;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP))
		e->ending = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		e->readable = true;
	if ((events & EPOLLOUT) && (!e->open || e->rest)) {
		e->open = true;
		if (flush(e)) {
			if (e->other->readable)
				pump(e->other);
			if (!t->dead)
				pass_end(e);
		}
	}
	if (!t->dead && e->readable)
		pump(e);
}

static void watch(struct end *e)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = e};

	if (epoll_ctl(poller, EPOLL_CTL_ADD, e->fd, &event) < 0)
		die("epoll_ctl");
}

/* accept_one takes one client. The listener is level-triggered: the next wait tells if there are more. */
static void accept_one(int listener)
{
	int on = 1;
	int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct tunnel *t;

	if (client < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		die("accept4");
	}
	t = calloc(1, sizeof *t);
	if (!t)
		die("calloc");
	t->client = (struct end){.fd = client, .other = &t->backend, .open = true};
	t->backend = (struct end){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .other = &t->client};
	if (t->backend.fd < 0)
		die("socket");
	setsockopt(t->backend.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(t->backend.fd, (struct sockaddr *)&backend_address, sizeof backend_address) < 0 && errno != EINPROGRESS) {
		end_tunnel(&t->client, true);
		return;
	}
	watch(&t->backend);
	watch(&t->client);
}

static struct sockaddr_in loopback(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char *rest;
	unsigned long number = strtoul(port, &rest, 10);

	if (*port == '\0' || *rest != '\0' || number < 1 || number > 65535) {
		fprintf(stderr, "floor: %s is no port: give 1 to 65535\n", port);
		exit(2);
	}
	address.sin_port = htons((uint16_t)number);
	return address;
}

static int listen_on(const char *port)
{
	struct sockaddr_in address = loopback(port);
	int on = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (listener < 0)
		die("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0)
		die("bind");
	if (listen(listener, BACKLOG) < 0)
		die("listen");
	return listener;
}

int main(int argc, char **argv)
{
	static struct epoll_event events[EVENTS_PER_WAIT];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	struct rlimit descriptors;
	int listener;

	if (argc != 3) {
		fprintf(stderr, "usage: floor LISTEN_PORT BACKEND_PORT\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
		descriptors.rlim_cur = descriptors.rlim_max;
		setrlimit(RLIMIT_NOFILE, &descriptors);
	}
	backend_address = loopback(argv[2]);
	listener = listen_on(argv[1]);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0)
		die("epoll");
	printf("ready\n");
	fflush(stdout);

	for (;;) {
		int count = epoll_wait(poller, events, EVENTS_PER_WAIT, -1);
		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				handle(events[i].data.ptr, events[i].events);
			else
				accept_one(listener);
		}
		while (dead_tunnels) {
			struct tunnel *next = dead_tunnels->next_dead;
			free(dead_tunnels);
			dead_tunnels = next;
		}
	}
}
