/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age_key FOLDER NAME SECONDS: a key file as it is that much later. All of its
 * times go back, and its MAC is right: so that tests need not wait for days.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "keyring/change.h"

static void shift(int64_t *wall_s, int64_t seconds)
{
    if (*wall_s != 0)
        *wall_s -= seconds;
}

static void age(struct kmse_keyfile *file, int64_t seconds)
{
    shift(&file->created_s, seconds);
    for (size_t i = 0; i < file->version_count; i++) {
        struct kmse_version *version = &file->versions[i];
        shift(&version->created_s, seconds);
        shift(&version->active_from_s, seconds);
        shift(&version->retired_s, seconds);
        shift(&version->destroyed_s, seconds);
        shift(&version->restored_s, seconds);
    }
    for (size_t i = 0; i < file->census_count; i++)
        shift(&file->censuses[i].taken_s, seconds);
}

static kmse_st age_key(const struct kmse_rotation *rotation, const char *name,
                       int64_t seconds, struct kmse_why *why)
{
    struct kmse_edit edit;
    KMSE_TRY(kmse_edit_open(&edit, rotation, name, why));
    age(edit.file, seconds);
    kmse_st st = kmse_edit_write(&edit, rotation, why);
    kmse_edit_close(&edit);
    return st;
}

static kmse_st start(struct kmse_rotation *rotation)
{
    KMSE_TRY(kmse_crypto_new(&rotation->crypto, NULL, false));
    KMSE_TRY(kmse_pool_new(&rotation->pool));
    return kmse_kms_new(&rotation->kms, rotation->crypto, rotation->pool,
                        rotation->clock, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return EXIT_FAILURE;
    struct kmse_rotation rotation = {.clock = &kmse_clock_system,
                                     .folder = argv[1]};
    struct kmse_why why = {""};
    kmse_st st = start(&rotation);
    if (kmse_is_ok(st))
        st = age_key(&rotation, argv[2], strtoll(argv[3], NULL, 10), &why);
    if (!kmse_is_ok(st))
        fprintf(stderr, "%s: %s\n", kmse_reason_text(st.reason), why.text);
    kmse_kms_free(rotation.kms);
    kmse_pool_free(rotation.pool);
    kmse_crypto_free(rotation.crypto);
    return kmse_is_ok(st) ? EXIT_SUCCESS : EXIT_FAILURE;
}
