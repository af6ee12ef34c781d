/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a local master key: what is accepted prints, and is read again. */
#include "fuzz.h"

#include "base/file.h"
#include "kms/local_file.h"

static const char ORIGIN[] = "the-file";
static struct kmse_pool *pool;

static void check_refusal(const struct kmse_master *master, kmse_st st,
                          const struct kmse_why *why)
{
    FUZZ_CHECK(st.reason == KMSE_R_KMS_ANSWER);
    FUZZ_CHECK(strncmp(why->text, ORIGIN, sizeof(ORIGIN) - 1) == 0);
    FUZZ_CHECK(master->keys == NULL && master->count == 0);
}

static void check_master(const struct kmse_master *master)
{
    FUZZ_CHECK(master->count > 0 && master->count <= KMSE_BACKING_KEYS_MAX);
    for (size_t i = 0; i < master->count; i++)
        FUZZ_CHECK(master->keys[i].key.bytes != NULL);
}

/* The text is NUL-terminated for the reader, which asks for that. */
static void check_prints_the_same(const struct kmse_master *master)
{
    uint8_t *first = NULL, *second = NULL;
    size_t first_len = 0, second_len = 0;
    struct kmse_master again = {0};
    struct kmse_why why = {.text = ""};
    FUZZ_OK(kmse_master_print(&first, &first_len, master));
    char *text = fuzz_text(first, first_len);
    FUZZ_OK(kmse_master_parse(&again, text, first_len, pool, ORIGIN, &why));
    FUZZ_OK(kmse_master_print(&second, &second_len, &again));
    FUZZ_CHECK(first_len == second_len
               && memcmp(first, second, first_len) == 0);
    kmse_master_wipe(&again);
    kmse_file_free_bytes(second, second_len);
    kmse_file_free_bytes(first, first_len);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (pool == NULL)
        FUZZ_OK(kmse_pool_new(&pool));
    char *text = fuzz_text(data, size);
    struct kmse_master master = {0};
    struct kmse_why why = {.text = ""};
    kmse_st st = kmse_master_parse(&master, text, size, pool, ORIGIN, &why);
    if (kmse_is_ok(st)) {
        check_master(&master);
        check_prints_the_same(&master);
    } else {
        check_refusal(&master, st, &why);
    }
    kmse_master_wipe(&master);
    free(text);
    return 0;
}
