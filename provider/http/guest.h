/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_HTTP_GUEST_H
#define KMSE_HTTP_GUEST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What a program must not notice of libcurl being used in it: a SIGPIPE, which
 * libcurl does not catch when it is told to leave signals alone, and errors
 * that it threw out of OpenSSL's queue or left in it. And the other way round:
 * what libcurl frees is wiped, since a session token goes through its memory.
 */

/* libcurl is initialised, once and never undone: others may use it too. */
bool kmse_guest_start(void);

enum { KMSE_GUEST_ERRORS_MAX = 16 }; /* as many as OpenSSL's queue holds */

struct kmse_guest_error {
    unsigned long code;
    int line;
    char *file, *function, *data; /* or NULL */
};

struct kmse_guest {
    sigset_t signals;
    bool pipe_was_pending;
    struct kmse_guest_error errors[KMSE_GUEST_ERRORS_MAX];
    size_t error_count;
};

/* Around each call of libcurl that does I/O, in one thread. */
void kmse_guest_enter(struct kmse_guest *guest);
void kmse_guest_leave(struct kmse_guest *guest);

#endif
