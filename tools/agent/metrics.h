/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_METRICS_H
#define KMSE_AGENT_METRICS_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "keyring/ring.h"
#include "kms/agent_wire.h"

/*
 * The agent's numbers. Those of the KMS are counted by the threads that ask it,
 * all others by the one that serves. docs/man/kms-envelope-agent.8 has them
 * all.
 */
enum { KMSE_KMS_CLASSES = KMSE_KMS_FATAL + 1 };

/* What all processes of this host did with one version. */
struct kmse_metrics_use {
    char key[KMSE_KEY_NAME_MAX + 1];
    uint32_t version;
    uint64_t messages, bytes;
};

struct kmse_metrics {
    int64_t started_s;
    uint64_t lent, failed; /* fetches, by how they were answered */
    uint64_t refused_policy, refused_busy, refused_request;
    uint64_t connections, connections_now;
    uint64_t dropped_idle, dropped_crowded;
    uint64_t reloads, reloads_failed;
    struct kmse_numbers before; /* of rings that are gone */
    struct kmse_metrics_use *uses;
    size_t use_count;
    _Atomic uint64_t kms_calls, kms_errors[KMSE_KMS_CLASSES];
};

void kmse_metrics_wipe(struct kmse_metrics *metrics);

void kmse_metrics_kms(struct kmse_metrics *metrics,
                      const struct kmse_kms_event *event);
/* Of a version that is there, so there are few. No memory: not counted. */
void kmse_metrics_use(struct kmse_metrics *metrics,
                      const struct kmse_agent_request *request);
/* The ring goes: what it counted stays. */
void kmse_metrics_keep(struct kmse_metrics *metrics, struct kmse_ring *ring);

/* Text as Prometheus reads it (exposition format 0.0.4). */
struct kmse_metrics_now {
    struct kmse_ring *ring;
    uint64_t audit_lost;
    size_t jobs;
    bool keys_locked;
};
void kmse_metrics_print(FILE *out, const struct kmse_metrics *metrics,
                        const struct kmse_metrics_now *now);

#endif
