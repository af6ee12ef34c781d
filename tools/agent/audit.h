/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_AGENT_AUDIT_H
#define KMSE_AGENT_AUDIT_H

#include <stdint.h>

#include "agent/policy.h"
#include "kms/kms.h"

/*
 * The audit: a line of JSON for every operation of a KMS and every refusal,
 * written before its outcome is told to anybody. Never a secret. A line that
 * cannot be written at once is counted as lost: who reads too slowly must not
 * stop those who encrypt. Several threads may write.
 */
struct kmse_audit;

/* to: "stderr", "stdout" or the path of a file, which is appended to. */
kmse_st kmse_audit_open(struct kmse_audit **audit, const char *to,
                        const struct kmse_clock *clock,
                        struct kmse_why *why) KMSE_MUST_CHECK;
void kmse_audit_close(struct kmse_audit *audit);
/* Another place, or the same file anew, after it was moved away. */
kmse_st kmse_audit_reopen(struct kmse_audit *audit, const char *to,
                          struct kmse_why *why) KMSE_MUST_CHECK;

/*
 * For whom this thread works from now on; NULL: nobody, it refreshes ahead.
 * Borrowed.
 */
void kmse_audit_set_peer(const struct kmse_peer *peer);

void kmse_audit_event(struct kmse_audit *audit,
                      const struct kmse_kms_event *event);
/* Of a version of a key, with why. More than some a second are only counted. */
void kmse_audit_refusal(struct kmse_audit *audit, const struct kmse_peer *peer,
                        const char *key, uint32_t version, const char *why);

uint64_t kmse_audit_lost(struct kmse_audit *audit);

#endif
