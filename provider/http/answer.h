/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_HTTP_ANSWER_H
#define KMSE_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "kms/http.h"

/* An answer while it arrives, with what libcurl calls for that. */
struct kmse_reception {
    struct kmse_http_answer answer;
    size_t body_max, head_left; /* bytes */
    bool too_long, out_of_memory;
};

/* An empty body. On failure there is nothing to wipe. */
kmse_st kmse_reception_init(struct kmse_reception *reception,
                            size_t body_max) KMSE_MUST_CHECK;

/* CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION; arg is the reception. */
size_t kmse_reception_body(char *bytes, size_t size, size_t count, void *arg);
size_t kmse_reception_head(char *line, size_t size, size_t count, void *arg);

#endif
