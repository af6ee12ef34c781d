/* SPDX-License-Identifier: Apache-2.0 */
/* PEM of keys, in lines as a BIO gives them: what is ours is whole. */
#include "fuzz.h"

#include "glue/pem.h"

enum { LINE_SIZE = 64 + 16 }; /* shorter than a provider's: parts of lines */

/* As BIO_gets: up to the end of a line, or as much as there is room for. */
static size_t next_line(char line[LINE_SIZE], const char *text, size_t left)
{
    const char *end = memchr(text, '\n', left);
    size_t len = end != NULL ? (size_t)(end - text) + 1 : left;
    if (len > LINE_SIZE - 1)
        len = LINE_SIZE - 1;
    memcpy(line, text, len);
    line[len] = '\0';
    return len;
}

static kmse_st take(struct kmse_pem *pem, const char *text, size_t left)
{
    char line[LINE_SIZE];
    while (left > 0 && pem->state != KMSE_PEM_DONE
           && pem->state != KMSE_PEM_OTHER) {
        size_t len = next_line(line, text, left);
        KMSE_TRY(kmse_pem_take_line(pem, line, NULL));
        text += len;
        left -= len;
    }
    return KMSE_OK;
}

static void check_prints_the_same(const uint8_t *der, size_t der_len)
{
    struct kmse_pem pem = {.state = KMSE_PEM_BEFORE};
    char *text = NULL;
    uint8_t *again = NULL;
    size_t again_len = 0;
    FUZZ_OK(kmse_pem_print(&text, der, der_len));
    FUZZ_OK(take(&pem, text, strlen(text)));
    FUZZ_CHECK(pem.state == KMSE_PEM_DONE);
    FUZZ_OK(kmse_pem_decode(&again, &again_len, &pem, NULL));
    FUZZ_CHECK(again_len == der_len && memcmp(again, der, der_len) == 0);
    free(again);
    free(text);
    kmse_pem_wipe(&pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    struct kmse_pem pem = {.state = KMSE_PEM_BEFORE};
    uint8_t *der = NULL;
    size_t der_len = 0;
    kmse_st st = take(&pem, text, size);
    FUZZ_CHECK(kmse_is_ok(st) || st.reason == KMSE_R_ENCODING);
    FUZZ_CHECK(pem.base64 == NULL || strlen(pem.base64) == pem.len);
    if (kmse_is_ok(kmse_pem_decode(&der, &der_len, &pem, NULL))) {
        FUZZ_CHECK(pem.state == KMSE_PEM_DONE);
        if (der_len > 0)
            check_prints_the_same(der, der_len);
    } else {
        FUZZ_CHECK(der == NULL);
    }
    free(der);
    kmse_pem_wipe(&pem);
    free(text);
    return 0;
}
