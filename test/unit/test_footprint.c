/* SPDX-License-Identifier: Apache-2.0 */
/* What a cached key takes of memory; printed as well, for bench/README.md. */
#include "ring_fixture.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyring/key.h"

enum {
    KEY_BYTES_MAX = 2048,
    VERSION_BYTES_MAX = 1024,
    KEYS = 64,
    VERSIONS = 128,
    BLOB_LEN = 184, /* as AWS KMS makes them */
};

/* --- memory is counted -------------------------------------------------- */

/* With a sanitizer the C library's own count stays where it is. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t heap_bytes(void)
{
    return __sanitizer_get_current_allocated_bytes != NULL
               ? __sanitizer_get_current_allocated_bytes()
               : mallinfo2().uordblks;
}

static size_t secret_bytes; /* of key memory */

kmse_st __real_kmse_secret_init(struct kmse_secret *secret,
                                struct kmse_pool *pool);
kmse_st __wrap_kmse_secret_init(struct kmse_secret *secret,
                                struct kmse_pool *pool);
kmse_st __wrap_kmse_secret_init(struct kmse_secret *secret,
                                struct kmse_pool *pool)
{
    kmse_st st = __real_kmse_secret_init(secret, pool);
    secret_bytes += kmse_is_ok(st) ? KMSE_SECRET_LEN : 0;
    return st;
}

void __real_kmse_secret_wipe(struct kmse_secret *secret);
void __wrap_kmse_secret_wipe(struct kmse_secret *secret);
void __wrap_kmse_secret_wipe(struct kmse_secret *secret)
{
    secret_bytes -= secret->bytes != NULL ? KMSE_SECRET_LEN : 0;
    __real_kmse_secret_wipe(secret);
}

struct footprint {
    size_t heap, secrets;
};

static struct footprint now(void)
{
    return (struct footprint){heap_bytes(), secret_bytes};
}

/* For each of them, since before. */
static size_t tell(const char *what, struct footprint before, size_t count)
{
    size_t heap = (heap_bytes() - before.heap) / count;
    size_t secrets = (secret_bytes - before.secrets) / count;
    print_message("%-44s %5zu B, and %zu B of key memory\n", what, heap,
                  secrets);
    return heap + secrets;
}

/* --- many keys ---------------------------------------------------------- */

static const char *name_of(int i)
{
    static char name[KMSE_KEY_NAME_MAX + 1];
    snprintf(name, sizeof(name), "customer-emails-%d", i);
    return name;
}

static struct kmse_key *find(int i)
{
    struct kmse_key *key = NULL;
    expect_ok(kmse_ring_find(ring_fixture.ring, name_of(i), &key, NULL));
    return key;
}

/* One more copy, by a master key that nobody asks: the first one opens. */
static void add_copy(const char *name)
{
    static const char ARN[] = "aws-kms:arn:aws:kms:eu-central-1:111122223333:"
                              "key/1234abcd-12ab-34cd-56ef-1234567890ab";
    static uint8_t bytes[BLOB_LEN];
    const struct kmse_blob blob = {bytes, sizeof(bytes)};
    struct kmse_keyfile *file = NULL;
    expect_ok(kmse_keyfile_read(&file, ring_fixture.folder, name, NULL, NULL));
    struct kmse_version *version = &file->versions[0];
    struct kmse_copy *copies =
        realloc(version->copies, 2 * sizeof(*version->copies));
    assert_non_null(copies);
    version->copies = copies;
    copies[1] = (struct kmse_copy){.kms = strdup(ARN)};
    version->copy_count = 2;
    expect_ok(kmse_blob_copy(&copies[1].blob, &blob));
    expect_ok(kmse_keyfile_context(&copies[1].context, file, 1));
    expect_ok(kmse_keyfile_write(file, ring_fixture.folder, NULL));
    kmse_keyfile_free(file);
}

static void make_keys(bool second_copy)
{
    const char *uris[] = {ring_fixture.uri};
    for (int i = 0; i < KEYS; i++) {
        expect_ok(kmse_rotation_create(&ring_fixture.rotation, name_of(i), uris,
                                       1, NULL, NULL, NULL));
        if (second_copy)
            add_copy(name_of(i));
    }
}

static void cache(struct kmse_key *key, uint32_t version)
{
    struct kmse_datakey *datakey = NULL;
    expect_ok(kmse_key_datakey(key, version, &datakey, NULL, NULL));
    kmse_datakey_release(datakey);
}

/* What is there once is not counted. */
static struct footprint begin(void)
{
    struct kmse_lease *lease = NULL;
    ring_newest(&lease);
    kmse_lease_give_back(&lease);
    return now();
}

static void expect_cached_key(const char *what, bool second_copy)
{
    make_keys(second_copy);
    struct footprint before = begin();
    for (int i = 0; i < KEYS; i++)
        cache(find(i), 1);
    assert_in_range(tell(what, before, KEYS), 1, KEY_BYTES_MAX - 1);
}

static void a_cached_key_is_below_2_kib(void **state)
{
    (void)state;
    expect_cached_key("a key with a version, cached", false);
    /* Of no concern to the promise: mostly OpenSSL's, and freed with it. */
    struct footprint before = now();
    for (int i = 0; i < KEYS; i++) {
        struct kmse_lease *lease = NULL;
        expect_ok(kmse_lease_newest(&lease, find(i), NULL));
        kmse_lease_give_back(&lease);
    }
    tell("a thread that encrypts with it, more", before, KEYS);
}

static void and_one_under_two_master_keys(void **state)
{
    (void)state;
    expect_cached_key("the same, a second copy in AWS", true);
}

/* --- many versions ------------------------------------------------------ */

static void one_more_version_is_below_1_kib(void **state)
{
    (void)state;
    uint32_t newest = 1;
    (void)begin();
    while (newest <= VERSIONS)
        newest = ring_rotate(0);
    struct footprint before = now();
    ring_time_ms += 1000;
    for (uint32_t version = 1; version <= newest; version++)
        cache(ring_key(), version);
    assert_in_range(tell("one more version, cached", before, VERSIONS), 1,
                    VERSION_BYTES_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_STORY(a_cached_key_is_below_2_kib),
        RING_STORY(and_one_under_two_master_keys),
        RING_STORY(one_more_version_is_below_1_kib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
