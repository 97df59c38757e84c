/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE   /* strcasestr */
#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OBJECTS 4096
#define CONNECTIONS 512
#define HEAD_MAX 8192

struct http_server {
    struct http_conduct conduct;
    int listener, port;
    pthread_t acceptor, thread[CONNECTIONS];
    int socket[CONNECTIONS];
    atomic_int taken;
    atomic_bool gone;
    pthread_mutex_t lock;
    struct { char path[160]; int64_t bytes; } object[OBJECTS];
    int objects;
};
struct connection { struct http_server *server; int slot; };

/* ---- sockets ---- */

static int listen_at(const char *address, int port, int *bound)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    socklen_t length = sizeof at;
    int yes = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1 || s < 0) return -1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(s, (struct sockaddr *)&at, sizeof at) || listen(s, 128)
        || getsockname(s, (struct sockaddr *)&at, &length)) return close(s), -1;
    *bound = ntohs(at.sin_port);
    return s;
}

static bool send_all(int s, const void *data, size_t length)
{
    for (const char *at = data; length;) {
        ssize_t n = send(s, at, length, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

static void sleep_us(int64_t us)
{
    struct timespec t = { us / 1000000, us % 1000000 * 1000 };
    nanosleep(&t, NULL);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- objects ---- */

static int64_t size_of(struct http_server *s, const char *path)
{
    int64_t bytes = -1;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->objects && bytes < 0; i++)
        if (!strcmp(s->object[i].path, path)) bytes = s->object[i].bytes;
    pthread_mutex_unlock(&s->lock);
    return bytes;
}

static void set_size(struct http_server *s, const char *path, int64_t bytes)
{
    pthread_mutex_lock(&s->lock);
    int i = 0;
    while (i < s->objects && strcmp(s->object[i].path, path) != 0) i++;
    if (i < OBJECTS) {
        if (i == s->objects) s->objects++;
        snprintf(s->object[i].path, sizeof s->object[i].path, "%s", path);
        s->object[i].bytes = bytes;
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- one request ---- */

struct request { char verb[16], path[160]; int64_t from, to, length; bool ranged, waits, close; char key[64]; };

static void parse(char *head, struct request *r)
{
    *r = (struct request){ .to = -1 };
    sscanf(head, "%15s %159s", r->verb, r->path);
    const char *at = strcasestr(head, "\r\nrange: bytes=");
    if (at) r->ranged = sscanf(at + 15, "%lld-%lld", (long long *)&r->from, (long long *)&r->to) == 2;
    if ((at = strcasestr(head, "\r\ncontent-length:"))) r->length = strtoll(at + 17, NULL, 10);
    if ((at = strcasestr(head, "\r\nauthorization:")) && (at = strstr(at, "Credential=")))
        sscanf(at, "Credential=%63[^/]", r->key);
    r->waits = strcasestr(head, "\r\nexpect: 100-continue") != NULL;
}

static bool answer(int s, int status, const char *extra, int64_t length)
{
    char head[512];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nServer: small\r\nContent-Length: %lld\r\n%s\r\n", status,
                     (long long)length, extra);
    return send_all(s, head, (size_t)n);
}

static bool fail(int s, int status, bool body)
{
    char text[256];
    const char *code = status == 403 ? "SignatureDoesNotMatch" : status == 404 ? "NoSuchKey"
                       : status == 503 ? "SlowDown" : "Other";
    snprintf(text, sizeof text, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>as the test wants it</Message>"
             "</Error>", code);
    return answer(s, status, "", body ? (int64_t)strlen(text) : 0) && (!body || send_all(s, text, strlen(text)));
}

/* The bytes of an object, at a rate, perhaps not all of them. */
static bool send_object(struct http_server *server, int s, int64_t from, int64_t bytes)
{
    static _Thread_local unsigned char piece[251 * 512];
    int64_t cut = server->conduct.cut_after, rate = server->conduct.rate_Bps;
    double start_s = now_s();
    for (size_t i = 0; i < sizeof piece; i++) piece[i] = (unsigned char)(i % 251);
    for (int64_t done = 0; done < bytes;) {
        int64_t phase = (from + done) % 251, n = (int64_t)sizeof piece - phase;
        if (n > bytes - done) n = bytes - done;
        if (cut && done + n > cut) n = cut - done;
        if (n <= 0 || server->gone || !send_all(s, piece + phase, (size_t)n)) return false;
        done += n;
        double due_s = rate > 0 ? start_s + (double)done / (double)rate : 0, late_s = due_s - now_s();
        if (late_s > 0) sleep_us((int64_t)(late_s * 1e6));
    }
    return true;
}

static bool get(struct http_server *server, int s, const struct request *r)
{
    int64_t bytes = size_of(server, r->path);
    if (bytes < 0) return fail(s, 404, true);
    bool part = r->ranged && !server->conduct.no_range;
    int64_t from = part ? r->from : 0, to = part && r->to < bytes ? r->to : bytes - 1;
    if (from > to) return fail(s, 416, true);
    if (server->conduct.delay_us) sleep_us(server->conduct.delay_us);
    return answer(s, part ? 206 : 200, "", to - from + 1) && send_object(server, s, from, to - from + 1);
}

/* Reads the body of a PUT, of which `got` bytes came with the head. */
static bool take_body(int s, int64_t left)
{
    static _Thread_local char piece[1 << 16];
    while (left > 0) {
        ssize_t n = recv(s, piece, left < (int64_t)sizeof piece ? (size_t)left : sizeof piece, 0);
        if (n <= 0) return false;
        left -= n;
    }
    return true;
}

static bool serve(struct http_server *server, int s, const struct request *r, int64_t extra)
{
    struct http_conduct *c = &server->conduct;
    int number = ++c->requests;
    c->ranges += r->ranged;
    bool head = !strcmp(r->verb, "HEAD");
    if (c->vanish_after && number > c->vanish_after) {
        server->gone = true;
        shutdown(server->listener, SHUT_RDWR);
        return false;
    }
    if (r->waits && !send_all(s, "HTTP/1.1 100 Continue\r\n\r\n", 25)) return false;
    if (!take_body(s, r->length - extra)) return false;
    if (*c->key && strcmp(c->key, r->key) != 0) return fail(s, 403, !head);
    if (c->status) return fail(s, c->status, !head);
    if (c->busy_every && number % c->busy_every == 0) return fail(s, 503, !head);
    if (!strcmp(r->verb, "GET")) return get(server, s, r);
    if (!strcmp(r->verb, "PUT")) return set_size(server, r->path, r->length), answer(s, 200, "", 0);
    if (!strcmp(r->verb, "DELETE")) return set_size(server, r->path, -1), answer(s, 204, "", 0);
    int64_t bytes = size_of(server, r->path);
    return head && (bytes < 0 ? fail(s, 404, false) : answer(s, 200, "", bytes));
}

static void *work(void *context)
{
    struct connection c = *(struct connection *)context;
    free(context);
    int s = c.server->socket[c.slot], yes = 1;
    char head[HEAD_MAX + 1];
    size_t have = 0;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while (!c.server->gone) {
        head[have] = 0;
        char *end = strstr(head, "\r\n\r\n");
        if (!end) {
            ssize_t n = have < HEAD_MAX ? recv(s, head + have, HEAD_MAX - have, 0) : 0;
            if (n <= 0) break;
            have += (size_t)n;
            continue;
        }
        struct request r;
        end[2] = 0;
        parse(head, &r);
        size_t used = (size_t)(end + 4 - head), extra = have - used;
        if ((int64_t)extra > r.length) extra = (size_t)r.length;
        if (!serve(c.server, s, &r, (int64_t)extra)) break;
        have -= used + extra;
        memmove(head, head + used + extra, have);
    }
    shutdown(s, SHUT_RDWR);
    return NULL;
}

/* ---- the server ---- */

static void *accept_all(void *context)
{
    struct http_server *server = context;
    while (!server->gone && server->taken < CONNECTIONS) {
        int s = accept(server->listener, NULL, NULL);
        if (s < 0) break;
        struct connection *c = malloc(sizeof *c);
        *c = (struct connection){ server, server->taken };
        server->socket[c->slot] = s;
        server->conduct.connections++;
        if (pthread_create(&server->thread[c->slot], NULL, work, c) == 0) server->taken++;
    }
    return NULL;
}

struct http_server *http_server_start(const char *address, int port)
{
    struct http_server *server = calloc(1, sizeof *server);
    pthread_mutex_init(&server->lock, NULL);
    server->listener = listen_at(address, port, &server->port);
    if (server->listener < 0 || pthread_create(&server->acceptor, NULL, accept_all, server) != 0)
        return free(server), NULL;
    return server;
}

int http_server_port(const struct http_server *server) { return server->port; }
struct http_conduct *http_server_conduct(struct http_server *server) { return &server->conduct; }

void http_server_stop(struct http_server *server)
{
    server->gone = true;
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    close(server->listener);
    for (int i = 0; i < server->taken; i++) shutdown(server->socket[i], SHUT_RDWR);
    for (int i = 0; i < server->taken; i++) {
        pthread_join(server->thread[i], NULL);
        close(server->socket[i]);
    }
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* ---- the relay ---- */

struct relay { int listener, port, to, delay_us; pthread_t acceptor; atomic_bool gone; atomic_int open; };
struct pair { struct relay *relay; int near, far; };

static void *pass(void *context)
{
    struct pair p = *(struct pair *)context;
    free(context);
    char piece[1 << 16];
    bool asked = false;
    for (;;) {
        fd_set ready;
        struct timeval soon = { 0, 100000 };
        FD_ZERO(&ready);
        FD_SET(p.near, &ready);
        FD_SET(p.far, &ready);
        if (select((p.near > p.far ? p.near : p.far) + 1, &ready, NULL, NULL, &soon) < 0 || p.relay->gone) break;
        bool answers = FD_ISSET(p.far, &ready);
        if (!answers && !FD_ISSET(p.near, &ready)) continue;
        ssize_t n = recv(answers ? p.far : p.near, piece, sizeof piece, 0);
        if (n <= 0) break;
        if (answers && asked) sleep_us(p.relay->delay_us);
        asked = !answers;
        if (!send_all(answers ? p.near : p.far, piece, (size_t)n)) break;
    }
    close(p.near);
    close(p.far);
    p.relay->open--;
    return NULL;
}

static void *relay_all(void *context)
{
    struct relay *r = context;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)r->to),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    for (;;) {
        int near = accept(r->listener, NULL, NULL), far = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
        struct pair *p = malloc(sizeof *p);
        pthread_t thread;
        *p = (struct pair){ r, near, far };
        if (near < 0 || connect(far, (struct sockaddr *)&to, sizeof to)) return free(p), close(far), NULL;
        setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        r->open++;
        pthread_create(&thread, NULL, pass, p);
        pthread_detach(thread);
    }
}

struct relay *relay_start(int to, int delay_us)
{
    struct relay *r = calloc(1, sizeof *r);
    r->to = to;
    r->delay_us = delay_us;
    r->listener = listen_at("127.0.0.1", 0, &r->port);
    if (r->listener < 0 || pthread_create(&r->acceptor, NULL, relay_all, r) != 0) return free(r), NULL;
    return r;
}

int relay_port(const struct relay *relay) { return relay->port; }

void relay_stop(struct relay *relay)
{
    relay->gone = true;
    shutdown(relay->listener, SHUT_RDWR);
    pthread_join(relay->acceptor, NULL);
    close(relay->listener);
    while (relay->open > 0) sleep_us(10000);
    free(relay);
}
