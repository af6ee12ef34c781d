/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TEST_FUZZ_FUZZ_H
#define KMSE_TEST_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* One a target: libFuzzer calls it, and replay.c. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the process: fuzzer and replayer name the input. */
#define FUZZ_CHECK(promise)                                                    \
    do {                                                                       \
        if (!(promise))                                                        \
            fuzz_broken(__FILE__, __LINE__, #promise);                         \
    } while (0)

static inline void fuzz_broken(const char *file, int line, const char *promise)
{
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, promise);
    abort();
}

/* With a NUL after it, and nothing more: a sanitizer sees each byte over. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* The same, of what must succeed. */
#define FUZZ_OK(expr)                                                          \
    do {                                                                       \
        kmse_st fuzz_st = (expr);                                              \
        if (!kmse_is_ok(fuzz_st))                                              \
            fuzz_broken(__FILE__, __LINE__, kmse_reason_text(fuzz_st.reason)); \
    } while (0)

#endif
