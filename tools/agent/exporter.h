/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_EXPORTER_H
#define KMSE_AGENT_EXPORTER_H

#include <stdint.h>

#include <event2/event.h>

#include "base/status.h"

/* http://127.0.0.1:PORT/metrics, for Prometheus. */
struct kmse_exporter;

/* text(arg): the caller frees it; NULL: no memory. */
kmse_st kmse_exporter_new(struct kmse_exporter **exporter,
                          struct event_base *base, uint16_t port,
                          char *(*text)(void *arg), void *arg,
                          struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_exporter_free(struct kmse_exporter *exporter);

#endif
