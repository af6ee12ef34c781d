/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope inspect: what a message says of itself. Needs no key. */
#include "tools/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "envelope/header.h"
#include "envelope/siv.h"
#include "envelope/stream_plan.h"
#include "kms_envelope/params.h"
#include "tools/common.h"

/* The begin of a file, and how long it is. */
struct sample {
    uint8_t bytes[KMSE_HEADER_LEN];
    size_t len;
    uint64_t total;
};

struct message {
    struct kmse_header header;
    uint64_t plaintext_len;
};

static bool read_sample(struct sample *sample, FILE *file)
{
    uint8_t rest[16384];
    sample->len = fread(sample->bytes, 1, sizeof(sample->bytes), file);
    sample->total = sample->len;
    size_t len = 0;
    while ((len = fread(rest, 1, sizeof(rest), file)) > 0)
        sample->total += len;
    return !ferror(file);
}

static kmse_st open_sample(struct sample *sample, const char *path,
                           struct kmse_why *why)
{
    if (strcmp(path, "-") == 0) {
        if (!read_sample(sample, stdin))
            return kmse_fail(why, KMSE_R_FILE, "stdin: %s", strerror(errno));
        return KMSE_OK;
    }
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return kmse_fail(why, KMSE_R_FILE, "%s: %s", path, strerror(errno));
    bool ok = read_sample(sample, file);
    int error = errno;
    fclose(file);
    if (!ok)
        return kmse_fail(why, KMSE_R_FILE, "%s: %s", path, strerror(error));
    return KMSE_OK;
}

/* The first byte of a message is 'K'; in base64 it begins with an 'S'. */
static const char *guess(const struct sample *sample)
{
    static const char SALTED[] = "Salted__";
    if (sample->len >= sizeof(SALTED) - 1
        && memcmp(sample->bytes, SALTED, sizeof(SALTED) - 1) == 0)
        return "; it looks like the output of openssl enc with a password";
    for (size_t i = 0; i < sample->len; i++) {
        if (sample->bytes[i] < ' ' || sample->bytes[i] > '~')
            return "";
    }
    if (sample->len > 0 && sample->bytes[0] == 'S')
        return "; it looks like base64: decode it first (base64 -d)";
    return sample->len > 0 ? "; it looks like text" : "";
}

static kmse_st parse_message(struct message *message,
                             const struct sample *sample, const char *path,
                             struct kmse_why *why)
{
    KMSE_TRY(kmse_header_parse(&message->header, sample->bytes, sample->len));
    if (sample->total < KMSE_OVERHEAD)
        return kmse_fail(why, KMSE_R_MESSAGE_SHORT,
                         "%s: %" PRIu64 " bytes, the shortest message has %d",
                         path, sample->total, KMSE_OVERHEAD);
    message->plaintext_len = sample->total - KMSE_OVERHEAD;
    return KMSE_OK;
}

static kmse_st parse_stream(struct message *message,
                            const struct sample *sample, const char *path,
                            struct kmse_why *why)
{
    KMSE_TRY(
        kmse_stream_header_parse(&message->header, sample->bytes, sample->len));
    kmse_st st =
        kmse_stream_plaintext_len(&message->plaintext_len, sample->total);
    if (!kmse_is_ok(st))
        return kmse_fail(why, st.reason,
                         "%s: no stream has %" PRIu64 " bytes: its end is lost",
                         path, sample->total);
    return KMSE_OK;
}

/* It has no nonce; of its tag, the sample has a part. */
static kmse_st parse_siv(struct message *message, const struct sample *sample,
                         const char *path, struct kmse_why *why)
{
    uint8_t start[KMSE_SIV_OVERHEAD] = {0};
    memcpy(start, sample->bytes, sample->len);
    size_t len =
        sample->total < sizeof(start) ? (size_t)sample->total : sizeof(start);
    kmse_st st = kmse_siv_parse(&message->header.key_version, start, len);
    if (st.reason == KMSE_R_MESSAGE_SHORT)
        return kmse_fail(why, st.reason,
                         "%s: %" PRIu64 " bytes, the shortest message has %d",
                         path, sample->total, KMSE_SIV_OVERHEAD);
    KMSE_TRY(st);
    message->header.format = KMSE_FORMAT_SIV;
    message->plaintext_len = sample->total - KMSE_SIV_OVERHEAD;
    return KMSE_OK;
}

static bool is_siv(const struct sample *sample)
{
    return sample->len > 0 && sample->bytes[0] == KMSE_FORMAT_SIV;
}

static bool is_stream(const struct sample *sample)
{
    return sample->len > 0 && sample->bytes[0] == KMSE_FORMAT_STREAM;
}

static kmse_st parse(struct message *message, const struct sample *sample,
                     const char *path, struct kmse_why *why)
{
    kmse_st st = is_stream(sample) ? parse_stream(message, sample, path, why)
                 : is_siv(sample)  ? parse_siv(message, sample, path, why)
                                   : parse_message(message, sample, path, why);
    if (st.reason == KMSE_R_FORMAT_UNKNOWN)
        return kmse_fail(why, st.reason,
                         "%s: begins with 0x%02X; this release knows 0x%02X,"
                         " 0x%02X and 0x%02X, a newer one may know more%s",
                         path, sample->bytes[0], KMSE_FORMAT_1, KMSE_FORMAT_SIV,
                         KMSE_FORMAT_STREAM, guess(sample));
    if (st.reason == KMSE_R_HEADER_SHORT)
        return kmse_fail(why, st.reason, "%s: %zu bytes, a header has %d", path,
                         sample->len, KMSE_HEADER_LEN);
    if (!kmse_is_ok(st) && why->text[0] == '\0')
        return kmse_fail(why, st.reason, "%s", path);
    return st;
}

/* What the formats are called, and what their header's last 12 bytes are. */
static const struct format {
    uint8_t format;
    const char *cipher, *algorithm, *nonce;
} FORMATS[] = {
    {KMSE_FORMAT_1, KMSE_CIPHER_NAME, "AES-256-GCM", "nonce"},
    {KMSE_FORMAT_STREAM, KMSE_STREAM_CIPHER_NAME, "AES-256-GCM", "salt"},
    {KMSE_FORMAT_SIV, KMSE_SIV_CIPHER_NAME, "AES-256-SIV", NULL},
};
enum { FORMAT_COUNT = sizeof(FORMATS) / sizeof(FORMATS[0]) };

static const struct format *find_format(uint8_t format)
{
    size_t i = 0;
    while (i + 1 < FORMAT_COUNT && FORMATS[i].format != format)
        i++;
    return &FORMATS[i];
}

static void print_message(const struct message *message, uint64_t total)
{
    const struct kmse_header *header = &message->header;
    const struct format *format = find_format(header->format);
    printf("format       0x%02X (%s, %s)\n"
           "key version  %u\n",
           header->format, format->cipher, format->algorithm,
           (unsigned)header->key_version);
    if (format->nonce != NULL) {
        char nonce[2 * KMSE_NONCE_LEN + 1];
        kmse_hex_encode(nonce, header->nonce, KMSE_NONCE_LEN);
        printf("%-12s %s\n", format->nonce, nonce);
    }
    printf("message      %" PRIu64 " bytes\n"
           "plaintext    %" PRIu64 " bytes\n",
           total, message->plaintext_len);
    kmse_tool_hint("read as one message, of which only the header was looked"
                   " at: nothing was verified");
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct sample sample = {0};
    struct message message = {0};
    kmse_st st = open_sample(&sample, options->operand, &why);
    if (kmse_is_ok(st))
        st = parse(&message, &sample, options->operand, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    print_message(&message, sample.total);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_inspect = {
    .name = "inspect",
    .operands = "FILE|-",
    .summary = "show the header of a message",
    .details = "Format, key version, nonce and sizes; no key and no KMS is"
               " needed. Which key it\nis, a message does not say, and nothing"
               " that it says is verified here.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
