/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as DER: what is accepted is written again, byte for byte. */
#include "fuzz.h"

#include "glue/pkey_form.h"
#include "keyring/keyfile.h"

static void check_form(const struct kmse_pkey_form *form)
{
    FUZZ_CHECK(kmse_key_name_is_valid(form->reference.name));
    FUZZ_CHECK(form->reference.version <= KMSE_VERSION_MAX);
    FUZZ_CHECK(form->reference.with_copies == (form->key_file != NULL));
    FUZZ_CHECK(form->key_file == NULL
               || strlen(form->key_file) == form->key_file_len);
}

static void check_prints_the_same(const struct kmse_pkey_form *form,
                                  const uint8_t *data, size_t size)
{
    uint8_t *der = NULL;
    size_t der_len = 0;
    FUZZ_OK(kmse_pkey_form_print(&der, &der_len, form));
    FUZZ_CHECK(der_len == size);
    FUZZ_CHECK(memcmp(der, data, size) == 0);
    free(der);
}

/* What a decoder sees first, without the rest. */
static bool head_says(const uint8_t *data, size_t size, size_t *total_len)
{
    if (size < KMSE_FORM_HEAD_LEN)
        return false;
    uint8_t *head = malloc(KMSE_FORM_HEAD_LEN);
    FUZZ_CHECK(head != NULL);
    memcpy(head, data, KMSE_FORM_HEAD_LEN);
    bool is_ours = kmse_pkey_form_head(head, total_len);
    free(head);
    return is_ours;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kmse_pkey_form form = {.key_file = NULL};
    struct kmse_why why = {.text = ""};
    size_t total_len = 0;
    uint8_t *der = malloc(size > 0 ? size : 1); /* of just its size */
    FUZZ_CHECK(der != NULL);
    if (size > 0)
        memcpy(der, data, size);
    bool is_ours = head_says(der, size, &total_len);
    FUZZ_CHECK(!is_ours || total_len <= KMSE_FORM_MAX + 5);
    if (kmse_is_ok(kmse_pkey_form_parse(&form, der, size, &why))) {
        FUZZ_CHECK(is_ours && total_len == size);
        check_form(&form);
        check_prints_the_same(&form, data, size);
    } else {
        FUZZ_CHECK(form.key_file == NULL);
        for (const char *at = why.text; *at != '\0'; at++)
            FUZZ_CHECK(*at >= ' ' && *at <= '~');
    }
    kmse_pkey_form_wipe(&form);
    free(der);
    return 0;
}
