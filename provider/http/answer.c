/* SPDX-License-Identifier: Apache-2.0 */
/* Answers, as libcurl hands them over. */
#include "http/answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

enum { HEAD_MAX = 65536 };

static bool grow(struct kmse_http_answer *answer, size_t len)
{
    uint8_t *grown = malloc(answer->body_len + len + 1);
    if (grown == NULL)
        return false;
    if (answer->body != NULL) { /* not realloc: it leaves a copy behind */
        memcpy(grown, answer->body, answer->body_len);
        OPENSSL_cleanse(answer->body, answer->body_len);
        free(answer->body);
    }
    answer->body = grown;
    return true;
}

kmse_st kmse_reception_init(struct kmse_reception *reception, size_t body_max)
{
    *reception =
        (struct kmse_reception){.body_max = body_max, .head_left = HEAD_MAX};
    if (!grow(&reception->answer, 0))
        return KMSE_ERR(KMSE_R_MEMORY);
    reception->answer.body[0] = '\0';
    return KMSE_OK;
}

static bool append(struct kmse_reception *reception, const char *bytes,
                   size_t len)
{
    struct kmse_http_answer *answer = &reception->answer;
    reception->too_long = len > reception->body_max - answer->body_len;
    reception->out_of_memory = !reception->too_long && !grow(answer, len);
    if (reception->too_long || reception->out_of_memory)
        return false;
    memcpy(answer->body + answer->body_len, bytes, len);
    answer->body_len += len;
    answer->body[answer->body_len] = '\0';
    return true;
}

/*
 * libcurl's buffer, which we get here, is its own and outlives the transfer.
 * It may hold a data key, so it is wiped, though libcurl does not say we may:
 * the test that looks through a core dump keeps watch.
 */
size_t kmse_reception_body(char *bytes, size_t size, size_t count, void *arg)
{
    size_t len = size * count;
    bool taken = append(arg, bytes, len);
    OPENSSL_cleanse(bytes, len);
    return taken ? len : 0;
}

static void take_value(char out[KMSE_HTTP_HEADER_MAX], const char *line,
                       size_t len, const char *name)
{
    size_t name_len = strlen(name);
    if (len <= name_len || strncasecmp(line, name, name_len) != 0
        || line[name_len] != ':')
        return;
    line += name_len + 1;
    len -= name_len + 1;
    while (len > 0 && (line[0] == ' ' || line[0] == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (unsigned char)line[len - 1] <= ' ')
        len--;
    if (len < KMSE_HTTP_HEADER_MAX) {
        memcpy(out, line, len);
        out[len] = '\0';
    }
}

/* "100 Continue" has a head of its own: only the last one counts. */
size_t kmse_reception_head(char *line, size_t size, size_t count, void *arg)
{
    static const char STATUS_LINE[] = "HTTP/";
    struct kmse_reception *reception = arg;
    struct kmse_http_answer *answer = &reception->answer;
    size_t len = size * count, start = sizeof(STATUS_LINE) - 1;
    reception->too_long = len > reception->head_left;
    if (reception->too_long)
        return 0;
    reception->head_left -= len;
    if (len >= start && memcmp(line, STATUS_LINE, start) == 0) {
        answer->date[0] = '\0';
        answer->retry_after[0] = '\0';
        answer->request_id[0] = '\0';
    }
    take_value(answer->date, line, len, "date");
    take_value(answer->retry_after, line, len, "retry-after");
    take_value(answer->request_id, line, len, "x-amzn-requestid");
    return len;
}
