/* SPDX-License-Identifier: Apache-2.0 */
/* The packets between provider and agent. */
#include "kms/agent_wire.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"

static const uint8_t MAGIC[] = {'K', 'E', 'A', 1};

enum { OFF_MAGIC = 0, OFF_ASK = 4, OFF_BODY = 5 };
static_assert(sizeof(MAGIC) == OFF_ASK, "layout of every packet");

enum {
    OFF_NAME_LEN = OFF_BODY,
    OFF_ID = 6,
    OFF_VERSION = 22,
    OFF_MESSAGES = 26,
    OFF_BYTES = 34,
    OFF_NAME = 42,
};
static_assert(OFF_ID + KMSE_KEY_ID_LEN == OFF_VERSION, "layout of FETCH");
static_assert(OFF_NAME + KMSE_KEY_NAME_MAX <= KMSE_AGENT_REQUEST_MAX,
              "a request fits");

enum {
    OFF_REASON = OFF_BODY,
    OFF_CONTENT = 7,
    OFF_WHY = OFF_CONTENT + 2,
    OFF_FRESH = OFF_CONTENT + KMSE_SECRET_LEN,
    OFF_STALE = OFF_FRESH + 8,
    FETCHED_LEN = OFF_STALE + 8,
    OFF_MORE = OFF_CONTENT,
    OFF_TEXT_LEN = 8,
    OFF_TEXT = 10,
};
static_assert(OFF_TEXT + KMSE_AGENT_TEXT_MAX == KMSE_AGENT_ANSWER_MAX,
              "a full answer");
static_assert((int)KMSE_WHY_LEN <= (int)KMSE_AGENT_TEXT_MAX,
              "a reason's text fits");

static bool is_reason(int number)
{
    switch (number) {
#define REASON_CASE(name, number, text) case number:
        KMSE_REASONS(REASON_CASE)
#undef REASON_CASE
        return true;
    default:
        return false;
    }
}

static void store_be16(uint8_t *out, size_t value)
{
    enum { BYTE_BITS = 8 };
    out[0] = (uint8_t)(value >> BYTE_BITS);
    out[1] = (uint8_t)value;
}

static size_t load_be16(const uint8_t *in)
{
    enum { BYTE_BITS = 8 };
    return (size_t)in[0] << BYTE_BITS | in[1];
}

static void store_head(uint8_t *out, enum kmse_agent_ask ask)
{
    memcpy(out + OFF_MAGIC, MAGIC, sizeof(MAGIC));
    out[OFF_ASK] = (uint8_t)ask;
}

static bool has_head(const uint8_t *in, size_t in_len)
{
    return in_len >= OFF_BODY && memcmp(in, MAGIC, sizeof(MAGIC)) == 0;
}

/* --- requests ----------------------------------------------------------- */

static bool is_made_of_name(const char *name, size_t len)
{
    static const char CHARACTERS[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    return len > 0 && len <= KMSE_KEY_NAME_MAX
           && strspn(name, CHARACTERS) == len && name[len] == '\0';
}

static bool is_version(uint32_t version)
{
    return version > 0 && version <= KMSE_VERSION_MAX;
}

kmse_st kmse_agent_request_encode(uint8_t out[KMSE_AGENT_REQUEST_MAX],
                                  size_t *len,
                                  const struct kmse_agent_request *r)
{
    size_t name_len = strnlen(r->key, sizeof(r->key));
    if (r->ask == KMSE_AGENT_STATUS) {
        store_head(out, r->ask);
        *len = OFF_BODY;
        return KMSE_OK;
    }
    if (r->ask != KMSE_AGENT_FETCH || name_len > KMSE_KEY_NAME_MAX
        || !is_made_of_name(r->key, name_len) || !is_version(r->version))
        return KMSE_ERR(KMSE_R_PARAMETER);
    store_head(out, r->ask);
    out[OFF_NAME_LEN] = (uint8_t)name_len;
    memcpy(out + OFF_ID, r->id, KMSE_KEY_ID_LEN);
    kmse_store_be32(out + OFF_VERSION, r->version);
    kmse_store_be64(out + OFF_MESSAGES, r->messages);
    kmse_store_be64(out + OFF_BYTES, r->bytes);
    memcpy(out + OFF_NAME, r->key, name_len);
    *len = OFF_NAME + name_len;
    return KMSE_OK;
}

static kmse_st decode_fetch(struct kmse_agent_request *request,
                            const uint8_t *in, size_t in_len)
{
    if (in_len < OFF_NAME)
        return KMSE_ERR(KMSE_R_PARAMETER);
    size_t name_len = in[OFF_NAME_LEN];
    struct kmse_agent_request read = {
        .ask = KMSE_AGENT_FETCH,
        .version = kmse_load_be32(in + OFF_VERSION),
        .messages = kmse_load_be64(in + OFF_MESSAGES),
        .bytes = kmse_load_be64(in + OFF_BYTES),
    };
    if (name_len > KMSE_KEY_NAME_MAX || in_len != OFF_NAME + name_len)
        return KMSE_ERR(KMSE_R_PARAMETER);
    memcpy(read.id, in + OFF_ID, KMSE_KEY_ID_LEN);
    memcpy(read.key, in + OFF_NAME, name_len);
    if (!is_made_of_name(read.key, name_len) || !is_version(read.version))
        return KMSE_ERR(KMSE_R_PARAMETER);
    *request = read;
    return KMSE_OK;
}

kmse_st kmse_agent_request_decode(struct kmse_agent_request *request,
                                  const uint8_t *in, size_t in_len)
{
    if (!has_head(in, in_len))
        return KMSE_ERR(KMSE_R_PARAMETER);
    if (in[OFF_ASK] == KMSE_AGENT_FETCH)
        return decode_fetch(request, in, in_len);
    if (in[OFF_ASK] != KMSE_AGENT_STATUS || in_len != OFF_BODY)
        return KMSE_ERR(KMSE_R_PARAMETER);
    *request = (struct kmse_agent_request){.ask = KMSE_AGENT_STATUS};
    return KMSE_OK;
}

/* --- answers ------------------------------------------------------------ */

static bool is_printable(const char *text, bool lines)
{
    enum { FIRST = ' ', LAST = '~' };
    for (; *text != '\0'; text++) {
        if ((*text < FIRST || *text > LAST) && !(lines && *text == '\n'))
            return false;
    }
    return true;
}

static void encode_reason(uint8_t *out, size_t *len,
                          const struct kmse_agent_answer *answer)
{
    char text[KMSE_WHY_LEN];
    kmse_printable_copy(text, sizeof(text), (const uint8_t *)answer->text,
                        strnlen(answer->text, sizeof(answer->text)));
    size_t text_len = strlen(text);
    store_be16(out + OFF_CONTENT, text_len);
    memcpy(out + OFF_WHY, text, text_len);
    *len = OFF_WHY + text_len;
}

static kmse_st encode_fetched(uint8_t *out, size_t *len,
                              const struct kmse_agent_answer *answer,
                              const uint8_t *data_key)
{
    if (data_key == NULL || answer->fresh_ms > KMSE_AGENT_TIME_MAX_MS
        || answer->stale_ms > KMSE_AGENT_TIME_MAX_MS)
        return KMSE_ERR(KMSE_R_PARAMETER);
    memcpy(out + OFF_CONTENT, data_key, KMSE_SECRET_LEN);
    kmse_store_be64(out + OFF_FRESH, answer->fresh_ms);
    kmse_store_be64(out + OFF_STALE, answer->stale_ms);
    *len = FETCHED_LEN;
    return KMSE_OK;
}

static kmse_st encode_status(uint8_t *out, size_t *len,
                             const struct kmse_agent_answer *answer)
{
    size_t text_len = strnlen(answer->text, sizeof(answer->text));
    if (text_len > KMSE_AGENT_TEXT_MAX || !is_printable(answer->text, true))
        return KMSE_ERR(KMSE_R_PARAMETER);
    out[OFF_MORE] = answer->more ? 1 : 0;
    store_be16(out + OFF_TEXT_LEN, text_len);
    memcpy(out + OFF_TEXT, answer->text, text_len);
    *len = OFF_TEXT + text_len;
    return KMSE_OK;
}

kmse_st kmse_agent_answer_encode(uint8_t out[KMSE_AGENT_ANSWER_MAX],
                                 size_t *len,
                                 const struct kmse_agent_answer *answer,
                                 const uint8_t *data_key)
{
    store_head(out, answer->ask);
    store_be16(out + OFF_REASON, (size_t)answer->reason);
    if (answer->reason != 0) {
        if (!is_reason(answer->reason))
            return KMSE_ERR(KMSE_R_PARAMETER);
        encode_reason(out, len, answer);
        return KMSE_OK;
    }
    if (answer->ask == KMSE_AGENT_FETCH)
        return encode_fetched(out, len, answer, data_key);
    return encode_status(out, len, answer);
}

static kmse_st bad_answer(void)
{
    return KMSE_ERR(KMSE_R_KMS_ANSWER);
}

/* Exactly the rest of the packet, and characters that a terminal may see. */
static kmse_st take_text(char *text, size_t size, const uint8_t *in,
                         size_t in_len, size_t off_len, bool lines)
{
    size_t off = off_len + 2;
    if (in_len < off)
        return bad_answer();
    size_t text_len = load_be16(in + off_len);
    if (text_len >= size || in_len != off + text_len)
        return bad_answer();
    memcpy(text, in + off, text_len);
    text[text_len] = '\0';
    if (strlen(text) != text_len || !is_printable(text, lines))
        return bad_answer();
    return KMSE_OK;
}

static kmse_st decode_fetched(struct kmse_agent_answer *answer,
                              uint8_t data_key[KMSE_SECRET_LEN],
                              const uint8_t *in, size_t in_len)
{
    if (in_len != FETCHED_LEN)
        return bad_answer();
    answer->fresh_ms = kmse_load_be64(in + OFF_FRESH);
    answer->stale_ms = kmse_load_be64(in + OFF_STALE);
    if (answer->fresh_ms > KMSE_AGENT_TIME_MAX_MS
        || answer->stale_ms > KMSE_AGENT_TIME_MAX_MS)
        return bad_answer();
    memcpy(data_key, in + OFF_CONTENT, KMSE_SECRET_LEN);
    return KMSE_OK;
}

static kmse_st decode_status(struct kmse_agent_answer *answer,
                             const uint8_t *in, size_t in_len)
{
    if (in_len < OFF_TEXT || in[OFF_MORE] > 1)
        return bad_answer();
    answer->more = in[OFF_MORE] == 1;
    return take_text(answer->text, sizeof(answer->text), in, in_len,
                     OFF_TEXT_LEN, true);
}

kmse_st kmse_agent_answer_decode(struct kmse_agent_answer *answer,
                                 uint8_t data_key[KMSE_SECRET_LEN],
                                 enum kmse_agent_ask asked, const uint8_t *in,
                                 size_t in_len)
{
    if (!has_head(in, in_len) || in_len < OFF_CONTENT || in[OFF_ASK] != asked)
        return bad_answer();
    struct kmse_agent_answer read = {
        .ask = asked,
        .reason = (int)load_be16(in + OFF_REASON),
    };
    if (read.reason != 0) {
        if (!is_reason(read.reason))
            return bad_answer();
        KMSE_TRY(
            take_text(read.text, KMSE_WHY_LEN, in, in_len, OFF_CONTENT, false));
    } else if (asked == KMSE_AGENT_FETCH) {
        KMSE_TRY(decode_fetched(&read, data_key, in, in_len));
    } else {
        KMSE_TRY(decode_status(&read, in, in_len));
    }
    *answer = read;
    return KMSE_OK;
}
