/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_SERVER_H
#define KMSE_AGENT_SERVER_H

#include <event2/event.h>

#include "agent/desk.h"

/*
 * Connections: one question each, answered and closed. Who does not ask within
 * ten seconds is closed, sooner where there are too many. Of the event loop's
 * thread alone.
 */
struct kmse_server;

struct kmse_server_options {
    struct event_base *base;
    int fd; /* listening; the caller's */
    struct kmse_desk *desk;
    struct kmse_metrics *metrics;
    /* The agent's numbers as text; the caller frees it. NULL: no memory. */
    char *(*status)(void *arg);
    void *arg;
};

kmse_st
kmse_server_new(struct kmse_server **server,
                const struct kmse_server_options *options) KMSE_MUST_CHECK;
/* Connections are closed; nobody may wait for an answer any more. */
void kmse_server_free(struct kmse_server *server);

/* From now on. readers is borrowed. */
void kmse_server_set(struct kmse_server *server, size_t connections_max,
                     size_t connections_per_user,
                     const struct kmse_people *readers);

/* Take no more, and close those who have not asked. */
void kmse_server_drain(struct kmse_server *server);
/* Questions that are not answered yet. */
size_t kmse_server_waiting(const struct kmse_server *server);

#endif
