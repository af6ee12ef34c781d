/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of provider and agent: what is accepted is written just so. */
#include "fuzz.h"

#include "kms/agent_wire.h"

/* The first byte says which packet it is; the rest is the packet. */
enum { REQUEST = 'q', FETCHED = 'f', STATUS = 's' };

static void check_request(const uint8_t *packet, size_t len)
{
    struct kmse_agent_request request;
    uint8_t again[KMSE_AGENT_REQUEST_MAX];
    size_t again_len = 0;
    kmse_st st = kmse_agent_request_decode(&request, packet, len);
    if (!kmse_is_ok(st)) {
        FUZZ_CHECK(st.reason == KMSE_R_PARAMETER);
        return;
    }
    FUZZ_OK(kmse_agent_request_encode(again, &again_len, &request));
    FUZZ_CHECK(again_len == len && memcmp(again, packet, len) == 0);
}

static void check_answer(enum kmse_agent_ask asked, const uint8_t *packet,
                         size_t len)
{
    struct kmse_agent_answer answer;
    uint8_t again[KMSE_AGENT_ANSWER_MAX], data_key[KMSE_SECRET_LEN] = {0};
    size_t again_len = 0;
    kmse_st st =
        kmse_agent_answer_decode(&answer, data_key, asked, packet, len);
    if (!kmse_is_ok(st)) {
        FUZZ_CHECK(st.reason == KMSE_R_KMS_ANSWER);
        return;
    }
    FUZZ_CHECK(strcmp(kmse_reason_text(answer.reason), "unknown reason") != 0
               || answer.reason == 0);
    FUZZ_OK(kmse_agent_answer_encode(again, &again_len, &answer, data_key));
    FUZZ_CHECK(again_len == len && memcmp(again, packet, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* A block of just its size: a sanitizer sees each byte over. */
    uint8_t *packet = (uint8_t *)fuzz_text(data + 1, size - 1);
    if (data[0] == REQUEST)
        check_request(packet, size - 1);
    else if (data[0] == FETCHED)
        check_answer(KMSE_AGENT_FETCH, packet, size - 1);
    else if (data[0] == STATUS)
        check_answer(KMSE_AGENT_STATUS, packet, size - 1);
    free(packet);
    return 0;
}
