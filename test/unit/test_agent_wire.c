/* SPDX-License-Identifier: Apache-2.0 */
/* Packets between provider and agent: what is said, and what is no packet. */
#include "test.h"

#include <string.h>

#include "kms/agent_wire.h"

static const uint8_t ID[KMSE_KEY_ID_LEN] = "an id, 16 bytes";
static const uint8_t DATA_KEY[KMSE_SECRET_LEN] =
    "the data key, of 32 bytes......";

static struct kmse_agent_request fetch(const char *key)
{
    struct kmse_agent_request request = {
        .ask = KMSE_AGENT_FETCH,
        .version = 0x010203,
        .messages = 0x1122334455667788,
        .bytes = UINT64_MAX,
    };
    memcpy(request.id, ID, sizeof(ID));
    strncpy(request.key, key, KMSE_KEY_NAME_MAX);
    return request;
}

/* --- requests ----------------------------------------------------------- */

static void a_fetch_is_these_bytes(void **state)
{
    (void)state;
    static const uint8_t EXPECTED[] =
        "KEA\1\1\6an id, 16 bytes\0\0\1\2\3"
        "\x11\x22\x33\x44\x55\x66\x77\x88\xff\xff\xff\xff\xff\xff\xff\xff"
        "emails";
    const struct kmse_agent_request request = fetch("emails");
    uint8_t packet[KMSE_AGENT_REQUEST_MAX];
    size_t len = 0;
    expect_ok(kmse_agent_request_encode(packet, &len, &request));
    assert_int_equal(len, sizeof(EXPECTED) - 1);
    assert_memory_equal(packet, EXPECTED, len);
}

static void a_request_comes_back_as_it_was(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"a", "customer-emails_2.x",
                                        "a23456789012345678901234567890x"};
    uint8_t packet[KMSE_AGENT_REQUEST_MAX];
    size_t len = 0;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        const struct kmse_agent_request request = fetch(NAMES[i]);
        struct kmse_agent_request read;
        memset(&read, 0xEE, sizeof(read));
        expect_ok(kmse_agent_request_encode(packet, &len, &request));
        expect_ok(kmse_agent_request_decode(&read, packet, len));
        assert_int_equal(read.ask, KMSE_AGENT_FETCH);
        assert_string_equal(read.key, NAMES[i]);
        assert_memory_equal(read.id, ID, sizeof(ID));
        assert_int_equal(read.version, request.version);
        assert_true(read.messages == request.messages);
        assert_true(read.bytes == request.bytes);
    }
    const struct kmse_agent_request status = {.ask = KMSE_AGENT_STATUS};
    struct kmse_agent_request read = {.ask = KMSE_AGENT_FETCH};
    expect_ok(kmse_agent_request_encode(packet, &len, &status));
    assert_int_equal(len, 5);
    expect_ok(kmse_agent_request_decode(&read, packet, len));
    assert_int_equal(read.ask, KMSE_AGENT_STATUS);
}

static void what_cannot_be_asked_is_not_written(void **state)
{
    (void)state;
    static const char *const BAD[] = {"",    "Emails", "a/b",
                                      "a b", "a\n",    "\xe4"};
    uint8_t packet[KMSE_AGENT_REQUEST_MAX];
    size_t len = 77;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        const struct kmse_agent_request request = fetch(BAD[i]);
        expect_reason(kmse_agent_request_encode(packet, &len, &request),
                      KMSE_R_PARAMETER);
    }
    struct kmse_agent_request request = fetch("emails");
    memset(request.key, 'a', sizeof(request.key)); /* and no NUL */
    expect_reason(kmse_agent_request_encode(packet, &len, &request),
                  KMSE_R_PARAMETER);
    request = fetch("emails");
    request.version = 0;
    expect_reason(kmse_agent_request_encode(packet, &len, &request),
                  KMSE_R_PARAMETER);
    request.version = KMSE_VERSION_MAX + 1;
    expect_reason(kmse_agent_request_encode(packet, &len, &request),
                  KMSE_R_PARAMETER);
    request.version = 1;
    request.ask = 3;
    expect_reason(kmse_agent_request_encode(packet, &len, &request),
                  KMSE_R_PARAMETER);
    assert_int_equal(len, 77);
}

static void expect_no_request(const uint8_t *packet, size_t len)
{
    struct kmse_agent_request read, before;
    memset(&read, 0xEE, sizeof(read));
    memcpy(&before, &read, sizeof(read));
    expect_reason(kmse_agent_request_decode(&read, packet, len),
                  KMSE_R_PARAMETER);
    assert_memory_equal(&read, &before, sizeof(read));
}

static void a_request_that_is_cut_or_longer_is_none(void **state)
{
    (void)state;
    const struct kmse_agent_request request = fetch("emails");
    uint8_t packet[KMSE_AGENT_REQUEST_MAX] = {0};
    size_t len = 0;
    expect_ok(kmse_agent_request_encode(packet, &len, &request));
    for (size_t cut = 0; cut < len; cut++)
        expect_no_request(packet, cut);
    packet[len] = 'x';
    expect_no_request(packet, len + 1);
    packet[4] = KMSE_AGENT_STATUS;
    expect_no_request(packet, len);
}

static void bytes_that_mean_nothing_make_no_request(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
    } CHANGES[] = {
        {0, 'k'}, {3, 2},   {4, 0},  {4, 3},    {5, 0},  {5, 5},
        {5, 7},   {5, 255}, {22, 1}, {42, 'E'}, {42, 0}, {47, '/'},
    };
    for (size_t i = 0; i < sizeof(CHANGES) / sizeof(CHANGES[0]); i++) {
        const struct kmse_agent_request request = fetch("emails");
        uint8_t packet[KMSE_AGENT_REQUEST_MAX];
        size_t len = 0;
        expect_ok(kmse_agent_request_encode(packet, &len, &request));
        packet[CHANGES[i].at] = CHANGES[i].byte;
        expect_no_request(packet, len);
    }
}

/* --- answers ------------------------------------------------------------ */

static size_t encode(uint8_t packet[KMSE_AGENT_ANSWER_MAX],
                     const struct kmse_agent_answer *answer)
{
    size_t len = 0;
    expect_ok(kmse_agent_answer_encode(packet, &len, answer, DATA_KEY));
    return len;
}

static void expect_no_answer(enum kmse_agent_ask asked, const uint8_t *packet,
                             size_t len)
{
    static const uint8_t UNTOUCHED[KMSE_SECRET_LEN] = {0};
    uint8_t data_key[KMSE_SECRET_LEN] = {0};
    struct kmse_agent_answer read, before;
    memset(&read, 0xEE, sizeof(read));
    memcpy(&before, &read, sizeof(read));
    expect_reason(kmse_agent_answer_decode(&read, data_key, asked, packet, len),
                  KMSE_R_KMS_ANSWER);
    assert_memory_equal(&read, &before, sizeof(read));
    assert_memory_equal(data_key, UNTOUCHED, sizeof(data_key));
}

static const struct kmse_agent_answer LENT = {
    .ask = KMSE_AGENT_FETCH,
    .fresh_ms = 300000,
    .stale_ms = KMSE_AGENT_TIME_MAX_MS,
};

static void a_data_key_comes_with_its_times(void **state)
{
    (void)state;
    uint8_t packet[KMSE_AGENT_ANSWER_MAX], data_key[KMSE_SECRET_LEN];
    size_t len = encode(packet, &LENT);
    struct kmse_agent_answer read;
    assert_int_equal(len, 55);
    expect_ok(kmse_agent_answer_decode(&read, data_key, KMSE_AGENT_FETCH,
                                       packet, len));
    assert_int_equal(read.reason, 0);
    assert_memory_equal(data_key, DATA_KEY, sizeof(data_key));
    assert_true(read.fresh_ms == LENT.fresh_ms);
    assert_true(read.stale_ms == LENT.stale_ms);
    for (size_t cut = 0; cut < len; cut++)
        expect_no_answer(KMSE_AGENT_FETCH, packet, cut);
    packet[len] = 0;
    expect_no_answer(KMSE_AGENT_FETCH, packet, len + 1);
    expect_no_answer(KMSE_AGENT_STATUS, packet, len);
    packet[39] = 1; /* the first byte of fresh_ms: longer than any time */
    expect_no_answer(KMSE_AGENT_FETCH, packet, len);
    packet[39] = 0;
    packet[47] = 1;
    expect_no_answer(KMSE_AGENT_FETCH, packet, len);
}

static void a_reason_comes_with_its_words(void **state)
{
    (void)state;
    struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_FETCH,
        .reason = KMSE_R_KMS_DENIED,
        .text = "user 33 may not\n\x1b[31m have emails",
    };
    uint8_t packet[KMSE_AGENT_ANSWER_MAX], data_key[KMSE_SECRET_LEN] = {7};
    size_t len = encode(packet, &answer);
    struct kmse_agent_answer read;
    expect_ok(kmse_agent_answer_decode(&read, data_key, KMSE_AGENT_FETCH,
                                       packet, len));
    assert_int_equal(read.reason, KMSE_R_KMS_DENIED);
    assert_string_equal(read.text, "user 33 may not??[31m have emails");
    assert_int_equal(data_key[0], 7);
    for (size_t cut = 0; cut < len; cut++)
        expect_no_answer(KMSE_AGENT_FETCH, packet, cut);
    packet[9] = '\n'; /* of the text: not in a line of an error */
    expect_no_answer(KMSE_AGENT_FETCH, packet, len);
    packet[9] = 0;
    expect_no_answer(KMSE_AGENT_FETCH, packet, len);
    packet[9] = 'u';
    packet[6] = 19; /* no reason has that number */
    expect_no_answer(KMSE_AGENT_FETCH, packet, len);
}

static void words_are_cut_where_errors_end(void **state)
{
    (void)state;
    struct kmse_agent_answer answer = {
        .ask = KMSE_AGENT_STATUS,
        .reason = KMSE_R_KMS_DENIED,
    };
    uint8_t packet[KMSE_AGENT_ANSWER_MAX];
    struct kmse_agent_answer read;
    memset(answer.text, 'x', sizeof(answer.text) - 1);
    size_t len = encode(packet, &answer);
    expect_ok(
        kmse_agent_answer_decode(&read, NULL, KMSE_AGENT_STATUS, packet, len));
    assert_int_equal(strlen(read.text), KMSE_WHY_LEN - 1);
}

static void a_status_fills_a_packet(void **state)
{
    (void)state;
    struct kmse_agent_answer answer = {.ask = KMSE_AGENT_STATUS, .more = true};
    uint8_t packet[KMSE_AGENT_ANSWER_MAX + 1] = {0};
    struct kmse_agent_answer read;
    memset(answer.text, '\n', KMSE_AGENT_TEXT_MAX);
    size_t len = encode(packet, &answer);
    assert_int_equal(len, KMSE_AGENT_ANSWER_MAX);
    expect_ok(
        kmse_agent_answer_decode(&read, NULL, KMSE_AGENT_STATUS, packet, len));
    assert_true(read.more);
    assert_int_equal(strlen(read.text), KMSE_AGENT_TEXT_MAX);
    expect_no_answer(KMSE_AGENT_STATUS, packet, len - 1);
    expect_no_answer(KMSE_AGENT_STATUS, packet, len + 1);
    packet[7] = 2; /* neither more nor the last */
    expect_no_answer(KMSE_AGENT_STATUS, packet, len);
    packet[7] = 0;
    packet[10] = '\t';
    expect_no_answer(KMSE_AGENT_STATUS, packet, len);
}

static void what_cannot_be_answered_is_not_written(void **state)
{
    (void)state;
    uint8_t packet[KMSE_AGENT_ANSWER_MAX];
    size_t len = 77;
    struct kmse_agent_answer answer = LENT;
    expect_reason(kmse_agent_answer_encode(packet, &len, &answer, NULL),
                  KMSE_R_PARAMETER);
    answer.fresh_ms = KMSE_AGENT_TIME_MAX_MS + 1;
    expect_reason(kmse_agent_answer_encode(packet, &len, &answer, DATA_KEY),
                  KMSE_R_PARAMETER);
    answer = LENT;
    answer.reason = 19;
    expect_reason(kmse_agent_answer_encode(packet, &len, &answer, NULL),
                  KMSE_R_PARAMETER);
    const struct kmse_agent_answer status = {.ask = KMSE_AGENT_STATUS,
                                             .text = "\x7f"};
    expect_reason(kmse_agent_answer_encode(packet, &len, &status, NULL),
                  KMSE_R_PARAMETER);
    assert_int_equal(len, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fetch_is_these_bytes),
        cmocka_unit_test(a_request_comes_back_as_it_was),
        cmocka_unit_test(what_cannot_be_asked_is_not_written),
        cmocka_unit_test(a_request_that_is_cut_or_longer_is_none),
        cmocka_unit_test(bytes_that_mean_nothing_make_no_request),
        cmocka_unit_test(a_data_key_comes_with_its_times),
        cmocka_unit_test(a_reason_comes_with_its_words),
        cmocka_unit_test(words_are_cut_where_errors_end),
        cmocka_unit_test(a_status_fills_a_packet),
        cmocka_unit_test(what_cannot_be_answered_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
