/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP server of this process that looks like S3 to a client, and can be as bad as a test wants it: late, slow,
 * overloaded, gone. It keeps the sizes of objects, not their bytes; a byte of an object is its offset modulo 251. */
#ifndef KV_TESTS_HTTP_SERVER_H
#define KV_TESTS_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdint.h>

struct http_server;

/* May be changed while it runs. Zero everywhere: a good server. */
struct http_conduct {
    atomic_int status;             /* of every answer, with an S3 error body; 0: as it should be */
    atomic_int busy_every;         /* each n-th request is answered with 503 */
    atomic_int delay_us;           /* before the first byte of an answer to a GET */
    _Atomic int64_t rate_Bps;      /* of the bytes of a GET; 0: as fast as it goes */
    _Atomic int64_t cut_after;     /* bytes of a body of a GET, then the connection is closed; 0: never */
    atomic_int vanish_after;       /* requests, then every connection is closed and no new one taken; 0: never */
    atomic_int no_range;           /* ranges are answered with the whole object */
    atomic_int requests;           /* counted: all that came */
    atomic_int ranges;             /* counted: those for a part of an object */
    atomic_int connections;
    char key[64];                  /* requests must be signed with this access key (as named, the signature is not
                                      checked); "": anything goes */
};

/* Listens on 127.0.0.1 at a port of the system's choice, or at `port`. NULL: not possible. */
struct http_server *http_server_start(const char *address, int port);
int http_server_port(const struct http_server *server);
struct http_conduct *http_server_conduct(struct http_server *server);
void http_server_stop(struct http_server *server);

/* Passes connections on to 127.0.0.1:`to`; what the other side answers after having been asked is kept back for
 * delay_us once. */
struct relay;
struct relay *relay_start(int to, int delay_us);
int relay_port(const struct relay *relay);
void relay_stop(struct relay *relay);

#endif
