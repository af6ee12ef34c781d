/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_HTTP_CONNECTION_H
#define KMSE_HTTP_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include <curl/curl.h>

#include "base/interrupt.h"
#include "base/status.h"

/*
 * libcurl's easy handles, which keep their connections, and the sockets that
 * each has open.
 *
 * A fork waits until no thread is in libcurl, since a child that inherits a
 * lock of its TLS library hangs at the next use of it, even the program's own.
 * A call that takes long is disturbed for that, and made anew. What the child
 * has of its parent's connections it drops.
 *
 * None of our locks is held over a fork. Handles stand in a list that only
 * grows, and their states are atomic, so that a child finds the list whole
 * should a thread have been in there all the same.
 */
enum { KMSE_CONNECTION_SOCKETS_MAX = 8 };

struct kmse_connection {
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    bool loopback_only;    /* other addresses are refused... */
    bool refused;          /* ...and one was */
    atomic_bool steadfast; /* a fork does not disturb it... */
    atomic_bool disturbed; /* ...and one did: make the call anew */

    /* connection.c's own */
    struct kmse_connection *next;
    _Atomic int state;
    const void *_Atomic owner;
    _Atomic pid_t process;
    pthread_mutex_t mutex; /* a socket is not closed while it is shut down */
    _Atomic int sockets[KMSE_CONNECTION_SOCKETS_MAX]; /* and 1; 0: none */
};

/*
 * One that nobody else has until it is given back. Waits while a fork is under
 * way. KMSE_R_INTERRUPTED: the process ends, or the interrupt was raised.
 */
kmse_st kmse_connection_take(struct kmse_connection **connection,
                             const void *owner,
                             struct kmse_interrupt *interrupt) KMSE_MUST_CHECK;
void kmse_connection_give_back(struct kmse_connection *connection);

/* libcurl opens and closes sockets through us from now on. */
bool kmse_connection_set_up(struct kmse_connection *connection);

/* From another thread: what waits for a peer need not wait any more. */
void kmse_connection_wake(void *connection);

/* struct kmse_http_module's. */
void kmse_connections_before_fork(void);
void kmse_connections_after_fork_parent(void);
void kmse_connections_after_fork_child(void);

/*
 * The process comes to its end: OPENSSL_cleanup has begun. Calls under way are
 * interrupted and waited for, though not for long, and connections closed.
 */
void kmse_connections_stop(void);
bool kmse_connections_ending(void);

/* Close those of an owner who has given all of them back. */
void kmse_connections_close(const void *owner);

#endif
