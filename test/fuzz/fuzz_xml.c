/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of STS: a text that fits is whole, and it is all or nothing. */
#include "fuzz.h"

#include "kms/xml.h"

enum { SMALL = 8, TEXTS = 3 };

static const char *const PATHS[TEXTS] = {
    "AssumeRoleResponse/AssumeRoleResult/Credentials/SecretAccessKey",
    "ErrorResponse/Error/Code",
    "a/b",
};

static void check_nothing(const struct kmse_xml_text *text)
{
    FUZZ_CHECK(!text->found);
    for (size_t i = 0; i < text->out_size; i++)
        FUZZ_CHECK(text->out[i] == '\0');
}

static kmse_st read_texts(struct kmse_xml_text texts[TEXTS], size_t out_size,
                          const char *xml, size_t xml_len)
{
    for (size_t i = 0; i < TEXTS; i++) {
        texts[i] = (struct kmse_xml_text){
            .path = PATHS[i], .out = malloc(out_size), .out_size = out_size};
        FUZZ_CHECK(texts[i].out != NULL);
        memset(texts[i].out, 'x', out_size);
    }
    kmse_st st = kmse_xml_texts(xml, xml_len, texts, TEXTS);
    FUZZ_CHECK(kmse_is_ok(st) || st.reason == KMSE_R_KMS_ANSWER);
    for (size_t i = 0; i < TEXTS; i++) {
        if (kmse_is_ok(st) && texts[i].found)
            FUZZ_CHECK(memchr(texts[i].out, '\0', out_size) != NULL);
        else
            check_nothing(&texts[i]);
    }
    return st;
}

static void free_texts(struct kmse_xml_text texts[TEXTS])
{
    for (size_t i = 0; i < TEXTS; i++)
        free(texts[i].out);
}

/* What fits into little is the same in much; what does not is refused. */
static void check_agree(kmse_st small_st, const struct kmse_xml_text *small,
                        kmse_st large_st, const struct kmse_xml_text *large)
{
    bool fits = true;
    for (size_t i = 0; i < TEXTS; i++)
        fits = fits && strlen(large[i].out) < SMALL;
    FUZZ_CHECK(kmse_is_ok(small_st) == (kmse_is_ok(large_st) && fits));
    for (size_t i = 0; i < TEXTS && kmse_is_ok(small_st); i++) {
        FUZZ_CHECK(small[i].found == large[i].found);
        FUZZ_CHECK(strcmp(small[i].out, large[i].out) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kmse_xml_text small[TEXTS], large[TEXTS];
    char *xml = malloc(size > 0 ? size : 1); /* of just its size */
    FUZZ_CHECK(xml != NULL);
    if (size > 0)
        memcpy(xml, data, size);
    kmse_st small_st = read_texts(small, SMALL, xml, size);
    kmse_st large_st = read_texts(large, size + 1, xml, size);
    check_agree(small_st, small, large_st, large);
    free_texts(large);
    free_texts(small);
    free(xml);
    return 0;
}
