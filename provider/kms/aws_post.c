/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, and those of a signed POST. */
#include "kms/aws_post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "kms/sigv4.h"

kmse_st kmse_aws_lines_add(struct kmse_aws_lines *lines, const char *name,
                           const char *value)
{
    size_t size = strlen(name) + strlen(": ") + strlen(value) + 1;
    if (lines->count == KMSE_AWS_LINES_MAX)
        return KMSE_ERR(KMSE_R_INTERNAL);
    char *line = malloc(size);
    if (line == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    snprintf(line, size, "%s: %s", name, value);
    lines->lines[lines->count++] = line;
    lines->lines[lines->count] = NULL;
    return KMSE_OK;
}

void kmse_aws_lines_wipe(struct kmse_aws_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        OPENSSL_cleanse(lines->lines[i], strlen(lines->lines[i]));
        free(lines->lines[i]);
    }
    *lines = (struct kmse_aws_lines){.count = 0};
}

enum { HEADERS_MAX = KMSE_AWS_LINES_MAX - 1 }; /* and the signature */

/* What is there of them; they are sorted where they are signed. */
static size_t list_headers(struct kmse_sigv4_header headers[HEADERS_MAX],
                           const struct kmse_aws_post *post, const char *time,
                           const char *session_token)
{
    const struct kmse_sigv4_header all[HEADERS_MAX] = {
        {"content-type", post->content_type},
        {"host", post->host},
        {"x-amz-date", time},
        {"x-amz-target", post->target},
        {"x-amz-security-token",
         session_token[0] != '\0' ? session_token : NULL},
    };
    size_t count = 0;
    for (size_t i = 0; i < HEADERS_MAX; i++) {
        if (all[i].value != NULL)
            headers[count++] = all[i];
    }
    return count;
}

kmse_st kmse_aws_post_sign(struct kmse_aws_lines *lines,
                           struct kmse_crypto *crypto,
                           const struct kmse_aws_post *post,
                           const struct kmse_aws_credentials *credentials)
{
    struct kmse_sigv4_scope scope = {.region = post->region,
                                     .service = post->service};
    kmse_sigv4_time_print(scope.time, post->wall_s);
    struct kmse_sigv4_header headers[HEADERS_MAX];
    size_t count =
        list_headers(headers, post, scope.time, credentials->session_token);
    const struct kmse_sigv4_request request = {
        .method = "POST",
        .headers = headers,
        .header_count = count,
        .body = (const uint8_t *)post->body,
        .body_len = post->body_len,
    };
    char *authorization = NULL;
    KMSE_TRY(kmse_sigv4_authorization(&authorization, crypto, &request, &scope,
                                      credentials->access_key_id,
                                      credentials->secret_access_key));
    kmse_st st = kmse_aws_lines_add(lines, "authorization", authorization);
    free(authorization);
    for (size_t i = 0; i < count && kmse_is_ok(st); i++)
        st = kmse_aws_lines_add(lines, headers[i].name, headers[i].value);
    return st;
}
