/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AGENT_WIRE_H
#define KMSE_KMS_AGENT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "base/status.h"
#include "kms_envelope/format.h"

/*
 * What a provider and the agent of its host say to each other: one packet
 * there, one or more back, on a socket of AF_UNIX and SOCK_SEQPACKET, which
 * keeps packets whole. Pure: no I/O. Integers are in network byte order.
 *
 *   0..3  "KEA" and 1, the version of this format
 *   4     what is asked, enum kmse_agent_ask; an answer repeats it
 *
 * Request KMSE_AGENT_FETCH: the data key of one version.
 *   5       length of the key's name, 1 .. KMSE_KEY_NAME_MAX
 *   6..21   the key's id
 *   22..25  version, 1 .. KMSE_VERSION_MAX
 *   26..33  messages encrypted with it since the process last told
 *   34..41  bytes, the same
 *   42..    name
 * Request KMSE_AGENT_STATUS has no more.
 *
 * Answer:
 *   5..6  0, or enum kmse_reason
 * and with a reason
 *   7..8  length of a text for people, which follows
 * FETCH
 *   7..38   data key
 *   39..46  how long the agent itself may use it before it asks its KMS again
 *   47..54  how long after that, while the KMS is away; both in ms
 * STATUS, as many packets as it takes
 *   7       1: another one follows; 0: the last
 *   8..9    length of the text, which follows: lines, as Prometheus reads them
 *
 * A packet that is longer or shorter than it says is no packet.
 */
enum { KMSE_AGENT_REQUEST_MAX = 512, KMSE_AGENT_ANSWER_MAX = 2048 };
enum { KMSE_AGENT_TEXT_MAX = 2038 };
#define KMSE_AGENT_TIME_MAX_MS ((uint64_t)366 * 86400 * 1000)

enum kmse_agent_ask { KMSE_AGENT_FETCH = 1, KMSE_AGENT_STATUS = 2 };

struct kmse_agent_request {
    enum kmse_agent_ask ask;
    /* Of FETCH. The name is made of [a-z0-9._-], but may still be no name. */
    char key[KMSE_KEY_NAME_MAX + 1];
    uint8_t id[KMSE_KEY_ID_LEN];
    uint32_t version;
    uint64_t messages, bytes;
};

struct kmse_agent_answer {
    enum kmse_agent_ask ask;
    int reason;
    uint64_t fresh_ms, stale_ms;        /* of FETCH */
    bool more;                          /* of STATUS */
    char text[KMSE_AGENT_TEXT_MAX + 1]; /* of STATUS, or for the reason */
};

/* KMSE_R_PARAMETER: what cannot be said so. */
kmse_st
kmse_agent_request_encode(uint8_t out[KMSE_AGENT_REQUEST_MAX], size_t *len,
                          const struct kmse_agent_request *r) KMSE_MUST_CHECK;
/* KMSE_R_PARAMETER; *request only on success. */
kmse_st kmse_agent_request_decode(struct kmse_agent_request *request,
                                  const uint8_t *in,
                                  size_t in_len) KMSE_MUST_CHECK;

/*
 * data_key goes with a FETCH that has no reason, else it is not read. out then
 * is secret. A reason's text is made printable, and cut at KMSE_WHY_LEN.
 * KMSE_R_PARAMETER.
 */
kmse_st kmse_agent_answer_encode(uint8_t out[KMSE_AGENT_ANSWER_MAX],
                                 size_t *len,
                                 const struct kmse_agent_answer *answer,
                                 const uint8_t *data_key) KMSE_MUST_CHECK;
/*
 * The answer to what was asked. data_key is written for a FETCH that has no
 * reason, and may be NULL for STATUS. KMSE_R_KMS_ANSWER; outputs only on
 * success.
 */
kmse_st kmse_agent_answer_decode(struct kmse_agent_answer *answer,
                                 uint8_t data_key[KMSE_SECRET_LEN],
                                 enum kmse_agent_ask asked, const uint8_t *in,
                                 size_t in_len) KMSE_MUST_CHECK;

#endif
