/* SPDX-License-Identifier: Apache-2.0 */
/* URIs of keys: what is accepted is written in one way, and means the same. */
#include "fuzz.h"

#include "glue/reference.h"
#include "keyring/keyfile.h"

static void check_reference(const struct kmse_reference *reference)
{
    bool is_all = reference->name[0] == '\0';
    FUZZ_CHECK(is_all || kmse_key_name_is_valid(reference->name));
    FUZZ_CHECK(reference->version <= KMSE_VERSION_MAX);
    FUZZ_CHECK(!is_all || (reference->version == 0 && !reference->with_copies));
}

static void check_prints_the_same(const struct kmse_reference *reference)
{
    char first[KMSE_REFERENCE_LEN], second[KMSE_REFERENCE_LEN];
    struct kmse_reference again;
    kmse_reference_print(first, reference);
    FUZZ_CHECK(strlen(first) + 1 < sizeof(first));
    FUZZ_OK(kmse_reference_parse(&again, first, NULL));
    FUZZ_CHECK(strcmp(again.name, reference->name) == 0);
    FUZZ_CHECK(again.version == reference->version);
    FUZZ_CHECK(again.with_copies == reference->with_copies);
    kmse_reference_print(second, &again);
    FUZZ_CHECK(strcmp(first, second) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    struct kmse_reference reference = {.name = "untouched"};
    struct kmse_why why = {.text = ""};
    kmse_st st = kmse_reference_parse(&reference, text, &why);
    if (kmse_is_ok(st)) {
        check_reference(&reference);
        check_prints_the_same(&reference);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_PARAMETER);
        FUZZ_CHECK(strcmp(reference.name, "untouched") == 0);
        for (const char *at = why.text; *at != '\0'; at++)
            FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
    free(text);
    return 0;
}
