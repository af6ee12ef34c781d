/* SPDX-License-Identifier: Apache-2.0 */
/* Uses of a data key beside messages: what look-ups need, keyed on demand. */
#include "keyring/ring.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#include "keyring/key.h"

static kmse_st derive(const struct kmse_lease *lease, const char *label,
                      uint8_t *out, size_t out_len)
{
    const struct kmse_datakey *datakey = lease->datakey;
    return kmse_datakey_derive_long(
        out, out_len, lease->key->environment->crypto, &datakey->data_key,
        label, datakey->id, datakey->version);
}

kmse_st kmse_lease_siv(struct kmse_lease *lease, struct kmse_siv **siv)
{
    if (lease->siv == NULL) {
        uint8_t key[KMSE_SIV_KEY_LEN];
        KMSE_TRY(derive(lease, KMSE_INFO_SIV, key, sizeof(key)));
        kmse_st st =
            kmse_siv_new(&lease->siv, lease->key->environment->crypto, key);
        OPENSSL_cleanse(key, sizeof(key));
        KMSE_TRY(st);
    }
    *siv = lease->siv;
    return KMSE_OK;
}

kmse_st kmse_lease_index(struct kmse_lease *lease,
                         const struct kmse_hmac **index)
{
    if (lease->index == NULL) {
        uint8_t key[KMSE_SECRET_LEN];
        KMSE_TRY(derive(lease, KMSE_INFO_INDEX, key, sizeof(key)));
        kmse_st st = kmse_hmac_new(
            &lease->index, lease->key->environment->crypto, key, sizeof(key));
        OPENSSL_cleanse(key, sizeof(key));
        KMSE_TRY(st);
    }
    *index = lease->index;
    return KMSE_OK;
}

static void locked_list(const struct kmse_key *key, uint32_t *versions,
                        size_t *count)
{
    const struct kmse_keyfile *file = key->snapshot->file;
    *count = 0;
    for (size_t i = 0; i < file->version_count; i++) {
        if (file->versions[i].state == KMSE_VERSION_ACTIVE)
            versions[(*count)++] = file->versions[i].number;
    }
}

/* No allocation under the lock; a file may have grown meanwhile. */
kmse_st kmse_key_versions(struct kmse_key *key, uint32_t **versions,
                          size_t *count, struct kmse_why *why)
{
    uint32_t *list = NULL;
    size_t room = 0;
    for (;;) {
        pthread_mutex_lock(&key->mutex);
        size_t needed = key->snapshot->file->version_count;
        bool fits = needed <= room;
        if (fits)
            locked_list(key, list, count);
        pthread_mutex_unlock(&key->mutex);
        if (fits)
            break;
        free(list);
        list = calloc(needed, sizeof(*list));
        if (list == NULL)
            return KMSE_ERR(KMSE_R_MEMORY);
        room = needed;
    }
    if (*count == 0) {
        free(list);
        return kmse_fail(why, KMSE_R_KEY_NO_ACTIVE_VERSION, "key %s",
                         key->name);
    }
    *versions = list;
    return KMSE_OK;
}
