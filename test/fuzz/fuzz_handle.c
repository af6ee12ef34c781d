/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as programs give them: what has the form of a handle, and whose it is.
 */
#include "fuzz.h"

#include <stdbool.h>

#include "keyring/handle.h"

/* make_corpus.py makes its handles with the same. */
static const uint8_t ID[KMSE_KEY_ID_LEN] = "an id, 16 bytes.";
enum { VERSIONS = 3, DATA_KEY_BYTE = 0x4B };

static struct kmse_crypto *crypto;
static struct kmse_pool *pool;
static struct kmse_secret data_key;
static uint8_t ours[VERSIONS][KMSE_HANDLE_LEN];

static void set_up(void)
{
    FUZZ_OK(kmse_crypto_new(&crypto, NULL, false));
    FUZZ_OK(kmse_pool_new(&pool));
    FUZZ_OK(kmse_secret_init(&data_key, pool));
    for (size_t i = 0; i < KMSE_SECRET_LEN; i++)
        data_key.bytes[i] = (uint8_t)(DATA_KEY_BYTE + i);
    for (uint32_t i = 0; i < VERSIONS; i++)
        FUZZ_OK(kmse_handle_make(ours[i], crypto, ID, i + 1, &data_key));
}

/* As format.h has it, in other words. */
static bool has_the_form(const uint8_t *data, size_t size)
{
    char text[KMSE_HANDLE_LEN + 1] = "";
    if (size != KMSE_HANDLE_LEN)
        return false;
    memcpy(text, data, size);
    size_t magic_len = strlen(KMSE_HANDLE_MAGIC);
    return strncmp(text, KMSE_HANDLE_MAGIC, magic_len) == 0
           && strspn(text + magic_len, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "abcdefghijklmnopqrstuvwxyz"
                                       "0123456789-_")
                  == KMSE_HANDLE_LEN - magic_len;
}

/* Only the one that a version's data key makes is that version's. */
static void check_version(const uint8_t *handle, uint32_t i)
{
    uint8_t aes_key[KMSE_SECRET_LEN];
    bool fits = false, is_ours = memcmp(handle, ours[i], KMSE_HANDLE_LEN) == 0;
    FUZZ_OK(kmse_handle_fits(&fits, handle, crypto, ID, i + 1));
    kmse_st st =
        kmse_handle_derive(aes_key, handle, crypto, ID, i + 1, &data_key);
    FUZZ_CHECK(kmse_is_ok(st) == is_ours);
    FUZZ_CHECK(kmse_is_ok(st) || st.reason == KMSE_R_HANDLE);
    FUZZ_CHECK(fits || !is_ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (crypto == NULL)
        set_up();
    bool is_one = kmse_handle_is_one(data, size);
    FUZZ_CHECK(is_one == has_the_form(data, size));
    for (uint32_t i = 0; is_one && i < VERSIONS; i++)
        check_version(data, i);
    return 0;
}
