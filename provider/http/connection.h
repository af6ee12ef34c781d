/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_HTTP_CONNECTION_H
#define KMSE_HTTP_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <curl/curl.h>

#include "base/status.h"

/*
 * libcurl's easy handles, which keep their connections, and the sockets that
 * each has open: a child must drop them, the end of the process interrupts
 * them.
 *
 * No lock is held over a fork. Handles stand in a list that only grows, and
 * their states are atomic, so that a child finds the list whole in whatever
 * moment another thread was, and marks all in it as lost.
 */
enum { KMSE_CONNECTION_SOCKETS_MAX = 8 };

struct kmse_connection {
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    bool loopback_only; /* other addresses are refused... */
    bool refused;       /* ...and one was */

    /* connection.c's own */
    struct kmse_connection *next;
    _Atomic int state;
    const void *_Atomic owner;
    pthread_mutex_t mutex; /* a socket is not closed while it is shut down */
    _Atomic int sockets[KMSE_CONNECTION_SOCKETS_MAX]; /* and 1; 0: none */
};

/* Once a process: forks are watched. */
kmse_st kmse_connections_watch(void) KMSE_MUST_CHECK;

/* One that nobody else has until it is given back; NULL: no memory. */
struct kmse_connection *kmse_connection_take(const void *owner);
void kmse_connection_give_back(struct kmse_connection *connection);

/* libcurl opens and closes sockets through us from now on. */
bool kmse_connection_set_up(struct kmse_connection *connection);

/* From another thread: what waits for a peer need not wait any more. */
void kmse_connection_wake(void *connection);

/*
 * The process comes to its end: OPENSSL_cleanup has begun. Calls under way are
 * interrupted and waited for, though not for long, and connections closed.
 */
void kmse_connections_stop(void);
bool kmse_connections_ending(void);

/* Close those of an owner who has given all of them back. */
void kmse_connections_close(const void *owner);

#endif
