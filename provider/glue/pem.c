/* SPDX-License-Identifier: Apache-2.0 */
/* PEM with our label. */
#include "glue/pem.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "glue/pkey_form.h"

static const char BEGIN[] = "-----BEGIN ";
static const char OUR_BEGIN[] = "-----BEGIN " KMSE_PEM_LABEL "-----";
static const char OUR_END[] = "-----END " KMSE_PEM_LABEL "-----";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"
                             "vwxyz0123456789+/=";
enum {
    BASE64_MAX = KMSE_FORM_MAX / 3 * 4 + 4,
    BASE64_FIRST = 1024,  /* a reference alone has 150 */
    LINE_LEN = 64,        /* RFC 7468, 2 */
    BEFORE_MAX = 1 << 16, /* what explains a key is shorter */
};

static size_t without_blanks(const char *line)
{
    size_t len = strlen(line);
    while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
        len--;
    return len;
}

static bool is_line(const char *line, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(line, wanted, len) == 0;
}

static kmse_st bad_pem(const char *problem, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_ENCODING, "PEM of a %s: %s", KMSE_PEM_LABEL,
                     problem);
}

static void take_before(struct kmse_pem *pem, const char *line, size_t len)
{
    pem->passed_over += strlen(line);
    if (is_line(line, len, OUR_BEGIN))
        pem->state = KMSE_PEM_INSIDE;
    else if (strncmp(line, BEGIN, sizeof(BEGIN) - 1) == 0
             || pem->passed_over > BEFORE_MAX)
        pem->state = KMSE_PEM_OTHER;
}

static kmse_st make_room(struct kmse_pem *pem, size_t len)
{
    size_t size = pem->size == 0 ? BASE64_FIRST : pem->size;
    while (size - pem->len <= len)
        size *= 2;
    if (size == pem->size)
        return KMSE_OK;
    char *grown = realloc(pem->base64, size);
    if (grown == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    pem->base64 = grown;
    pem->size = size;
    return KMSE_OK;
}

static kmse_st take_inside(struct kmse_pem *pem, const char *line, size_t len,
                           struct kmse_why *why)
{
    if (is_line(line, len, OUR_END)) {
        pem->state = KMSE_PEM_DONE;
        return KMSE_OK;
    }
    if (strspn(line, BASE64) < len)
        return bad_pem("not base64, and not its end", why);
    if (len > BASE64_MAX - pem->len)
        return bad_pem("too long", why);
    KMSE_TRY(make_room(pem, len));
    memcpy(pem->base64 + pem->len, line, len);
    pem->len += len;
    pem->base64[pem->len] = '\0';
    return KMSE_OK;
}

kmse_st kmse_pem_take_line(struct kmse_pem *pem, const char *line,
                           struct kmse_why *why)
{
    size_t len = without_blanks(line);
    if (pem->state == KMSE_PEM_INSIDE)
        return take_inside(pem, line, len, why);
    if (pem->state == KMSE_PEM_BEFORE)
        take_before(pem, line, len);
    return KMSE_OK;
}

kmse_st kmse_pem_decode(uint8_t **der, size_t *der_len,
                        const struct kmse_pem *pem, struct kmse_why *why)
{
    if (pem->state != KMSE_PEM_DONE)
        return bad_pem("it ends before its end", why);
    kmse_st st = pem->base64 != NULL
                     ? kmse_base64_decode(der, der_len, pem->base64)
                     : KMSE_ERR(KMSE_R_ENCODING);
    return st.reason == KMSE_R_ENCODING ? bad_pem("not base64", why) : st;
}

void kmse_pem_wipe(struct kmse_pem *pem)
{
    free(pem->base64);
    *pem = (struct kmse_pem){.state = KMSE_PEM_BEFORE};
}

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    out[len] = '\n';
    return out + len + 1;
}

kmse_st kmse_pem_print(char **text, const uint8_t *der, size_t der_len)
{
    char *base64 = NULL;
    KMSE_TRY(kmse_base64_encode(&base64, der, der_len));
    size_t left = strlen(base64);
    char *made = malloc(sizeof(OUR_BEGIN) + left + left / LINE_LEN + 1
                        + sizeof(OUR_END) + 1);
    if (made == NULL) {
        free(base64);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    char *out = put(made, OUR_BEGIN, sizeof(OUR_BEGIN) - 1);
    for (const char *at = base64; left > 0;) {
        size_t len = left < LINE_LEN ? left : LINE_LEN;
        out = put(out, at, len);
        at += len;
        left -= len;
    }
    *put(out, OUR_END, sizeof(OUR_END) - 1) = '\0';
    free(base64);
    *text = made;
    return KMSE_OK;
}
