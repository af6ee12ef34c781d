/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_DESK_H
#define KMSE_AGENT_DESK_H

#include "agent/audit.h"
#include "agent/jobs.h"
#include "agent/metrics.h"
#include "agent/policy.h"
#include "kms/agent_wire.h"

/*
 * Where data keys are asked for: policy, then the ring, at once from its cache
 * or by a job; who asks for the same version waits for the same job. All of it
 * is for the thread that serves.
 */
struct kmse_desk;

/* Who asks. The desk keeps it until it calls answer, once. */
struct kmse_asker {
    struct kmse_agent_request request; /* KMSE_AGENT_FETCH */
    /* data_key is NULL if the answer has a reason. */
    void (*answer)(struct kmse_asker *asker,
                   const struct kmse_agent_answer *answer,
                   const uint8_t *data_key);
    struct kmse_asker *next; /* the desk's own */
};

/* Borrowed, all of it. A look at a file never waits behind a KMS. */
struct kmse_desk_tools {
    struct kmse_jobs *files;
    struct kmse_jobs *kms;
    struct kmse_audit *audit;
    struct kmse_metrics *metrics;
};

kmse_st kmse_desk_new(struct kmse_desk **desk,
                      const struct kmse_desk_tools *tools) KMSE_MUST_CHECK;
/* After the jobs: nobody waits any more. */
void kmse_desk_free(struct kmse_desk *desk);

/* From now on; policy is borrowed, of the ring a reference is taken. */
void kmse_desk_set(struct kmse_desk *desk,
                   const struct kmse_agent_policy *policy,
                   struct kmse_ring *ring);

/* Answered before it returns, or later. */
void kmse_desk_ask(struct kmse_desk *desk, struct kmse_asker *asker,
                   const struct kmse_credentials *credentials);

#endif
