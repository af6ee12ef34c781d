/* SPDX-License-Identifier: Apache-2.0 */
/* The local KMS: its file, its blobs, and how each of them is refused. */
#include "kms/kms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "kms/local_file.h"
#include "test.h"

enum { BLOB_LEN = 84, NOW_S = 1700000000, FILE_MAX = 1 << 16 };

struct fixture {
    char folder[32], path[64], uri[80], other_uri[80];
    struct kmse_crypto *crypto;
    struct kmse_pool *pool;
    struct kmse_kms *kms;
    struct kmse_clock clock;
    int64_t now_s;
    struct kmse_kms_context context;
    struct kmse_why why;
};

static int64_t fixed_wall_s(void *arg)
{
    const int64_t *now_s = arg;
    return *now_s;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    snprintf(f->folder, sizeof(f->folder), "/tmp/kmse-local-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/master.json", f->folder);
    snprintf(f->uri, sizeof(f->uri), "local:%s", f->path);
    snprintf(f->other_uri, sizeof(f->other_uri), "local:%s/other", f->folder);
    f->now_s = NOW_S;
    f->clock = kmse_clock_system;
    f->clock.wall_s = fixed_wall_s;
    f->clock.arg = &f->now_s;
    expect_ok(kmse_crypto_new(&f->crypto, NULL, false));
    expect_ok(kmse_pool_new(&f->pool));
    expect_ok(kmse_kms_new(&f->kms, f->crypto, f->pool, &f->clock, NULL));
    expect_ok(kmse_kms_context_add(&f->context, "tenant", "blue"));
    *state = f;
    return 0;
}

static void remove_file(const struct fixture *f, const char *name)
{
    char path[96];
    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    unlink(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kmse_kms_context_wipe(&f->context);
    kmse_kms_free(f->kms);
    kmse_pool_free(f->pool);
    kmse_crypto_free(f->crypto);
    static const char *const names[] = {"master.json", ".master.json.lock",
                                        "other", ".other.lock"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        remove_file(f, names[i]);
    int removed = rmdir(f->folder); /* nothing else was left behind */
    free(f);
    return removed;
}

static void assert_opens(struct fixture *f, const char *uri,
                         const struct kmse_blob *blob,
                         const struct kmse_secret *expected)
{
    struct kmse_secret opened = {0};
    expect_ok(
        kmse_kms_unwrap(f->kms, uri, &f->context, blob, &opened, &f->why));
    assert_memory_equal(opened.bytes, expected->bytes, KMSE_SECRET_LEN);
    kmse_secret_wipe(&opened);
}

static void assert_refused(struct fixture *f,
                           const struct kmse_kms_context *context,
                           const struct kmse_blob *blob, int reason)
{
    struct kmse_secret opened = {0};
    f->why.text[0] = '\0';
    kmse_st st =
        kmse_kms_unwrap(f->kms, f->uri, context, blob, &opened, &f->why);
    expect_reason(st, reason);
    assert_null(opened.bytes);
    assert_non_null(strstr(f->why.text, f->uri));
}

static void generates_and_opens(void **state)
{
    struct fixture *f = *state;
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    struct stat status;
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);

    struct kmse_secret a = {0}, b = {0};
    struct kmse_blob a_blob = {0}, b_blob = {0}, again = {0};
    expect_ok(
        kmse_kms_generate(f->kms, f->uri, &f->context, &a, &a_blob, &f->why));
    expect_ok(
        kmse_kms_generate(f->kms, f->uri, &f->context, &b, &b_blob, &f->why));
    assert_memory_not_equal(a.bytes, b.bytes, KMSE_SECRET_LEN);
    assert_int_equal(a_blob.len, BLOB_LEN);
    assert_memory_equal(a_blob.bytes, "KEL1\0\0\0\1", 8);
    assert_opens(f, f->uri, &a_blob, &a);
    assert_opens(f, f->uri, &b_blob, &b);

    expect_ok(kmse_kms_wrap(f->kms, f->uri, &f->context, &a, &again, &f->why));
    assert_memory_not_equal(again.bytes, a_blob.bytes, BLOB_LEN);
    assert_opens(f, f->uri, &again, &a);
    assert_int_equal(kmse_kms_calls(f->kms), 6);

    kmse_blob_wipe(&again);
    kmse_blob_wipe(&a_blob);
    kmse_blob_wipe(&b_blob);
    kmse_secret_wipe(&a);
    kmse_secret_wipe(&b);
}

static void wrong_contexts_are_refused(void **state)
{
    struct fixture *f = *state;
    struct kmse_secret key = {0};
    struct kmse_blob blob = {0};
    struct kmse_kms_context empty = {0}, other = {0}, more = {0};
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    expect_ok(
        kmse_kms_generate(f->kms, f->uri, &f->context, &key, &blob, &f->why));
    assert_refused(f, &empty, &blob, KMSE_R_KMS_BLOB);
    expect_ok(kmse_kms_context_add(&other, "tenant", "blue "));
    assert_refused(f, &other, &blob, KMSE_R_KMS_BLOB);
    expect_ok(kmse_kms_context_copy(&more, &f->context));
    expect_ok(kmse_kms_context_add(&more, "x", ""));
    assert_refused(f, &more, &blob, KMSE_R_KMS_BLOB);
    assert_opens(f, f->uri, &blob, &key);
    kmse_kms_context_wipe(&other);
    kmse_kms_context_wipe(&more);
    kmse_blob_wipe(&blob);
    kmse_secret_wipe(&key);
}

/* The id says which master key made it; any other bit is just tampering. */
static void every_flipped_bit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct kmse_secret key = {0};
    struct kmse_blob blob = {0};
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    expect_ok(kmse_kms_rotate_master(f->kms, f->uri, &f->why));
    expect_ok(kmse_kms_rotate_master(f->kms, f->uri, &f->why));
    expect_ok(
        kmse_kms_generate(f->kms, f->uri, &f->context, &key, &blob, &f->why));
    for (size_t bit = 0; bit < 8 * blob.len; bit++) {
        bool in_id = bit / 8 >= 8 && bit / 8 < 24;
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_refused(f, &f->context, &blob,
                       in_id ? KMSE_R_KMS_WRONG_KEY : KMSE_R_KMS_BLOB);
        blob.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_opens(f, f->uri, &blob, &key);
    kmse_blob_wipe(&blob);
    kmse_secret_wipe(&key);
}

static void every_other_length_is_refused(void **state)
{
    struct fixture *f = *state;
    struct kmse_secret key = {0};
    struct kmse_blob blob = {0};
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    expect_ok(
        kmse_kms_generate(f->kms, f->uri, &f->context, &key, &blob, &f->why));
    for (size_t len = 0; len < BLOB_LEN; len++) {
        struct kmse_blob part = {malloc(len + 1), len}; /* ASan sees its end */
        assert_non_null(part.bytes);
        memcpy(part.bytes, blob.bytes, len);
        assert_refused(f, &f->context, &part, KMSE_R_KMS_BLOB);
        kmse_blob_wipe(&part);
    }
    uint8_t longer[BLOB_LEN + 1] = {0};
    memcpy(longer, blob.bytes, BLOB_LEN);
    struct kmse_blob too_long = {longer, sizeof(longer)};
    assert_refused(f, &f->context, &too_long, KMSE_R_KMS_BLOB);
    kmse_blob_wipe(&blob);
    kmse_secret_wipe(&key);
}

static void a_rotated_master_opens_old_blobs(void **state)
{
    struct fixture *f = *state;
    enum { ROTATIONS = 5 };
    struct kmse_secret keys[ROTATIONS] = {0};
    struct kmse_blob blobs[ROTATIONS] = {0};
    struct kmse_kms_description description;
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    for (uint8_t i = 0; i < ROTATIONS; i++) {
        expect_ok(kmse_kms_generate(f->kms, f->uri, &f->context, &keys[i],
                                    &blobs[i], &f->why));
        assert_int_equal(blobs[i].bytes[7], i + 1);
        f->now_s += 60;
        expect_ok(kmse_kms_rotate_master(f->kms, f->uri, &f->why));
        expect_ok(kmse_kms_describe(f->kms, f->uri, &description, &f->why));
        assert_int_equal(description.backing_keys, i + 2);
        assert_int_equal(description.newest_s, f->now_s);
        assert_int_equal(strlen(description.id), 32);
    }
    for (size_t i = 0; i < ROTATIONS; i++) {
        struct kmse_blob renewed = {0};
        assert_opens(f, f->uri, &blobs[i], &keys[i]);
        expect_ok(kmse_kms_rewrap(f->kms, f->uri, &f->context, &blobs[i],
                                  f->uri, &f->context, &renewed, &f->why));
        assert_int_equal(renewed.bytes[7], ROTATIONS + 1);
        assert_opens(f, f->uri, &renewed, &keys[i]);
        kmse_blob_wipe(&renewed);
        kmse_blob_wipe(&blobs[i]);
        kmse_secret_wipe(&keys[i]);
    }
}

static void two_masters_do_not_open_each_others(void **state)
{
    struct fixture *f = *state;
    struct kmse_secret key = {0};
    struct kmse_blob blob = {0}, moved = {0};
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    expect_ok(kmse_kms_ensure(f->kms, f->other_uri, NULL, &f->why));
    expect_ok(kmse_kms_generate(f->kms, f->other_uri, &f->context, &key, &blob,
                                &f->why));
    assert_refused(f, &f->context, &blob, KMSE_R_KMS_WRONG_KEY);
    uint64_t calls = kmse_kms_calls(f->kms);
    expect_ok(kmse_kms_rewrap(f->kms, f->other_uri, &f->context, &blob, f->uri,
                              &f->context, &moved, &f->why));
    assert_int_equal(kmse_kms_calls(f->kms), calls + 2);
    assert_opens(f, f->uri, &moved, &key);
    kmse_blob_wipe(&moved);
    kmse_blob_wipe(&blob);
    kmse_secret_wipe(&key);
}

static void ensure_keeps_what_is_there(void **state)
{
    struct fixture *f = *state;
    struct kmse_kms_description first, second;
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    expect_ok(kmse_kms_describe(f->kms, f->uri, &first, &f->why));
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    expect_ok(kmse_kms_describe(f->kms, f->uri, &second, &f->why));
    assert_string_equal(first.id, second.id);
}

static void modes_are_checked_and_kept(void **state)
{
    struct fixture *f = *state;
    struct kmse_kms_description description;
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    static const mode_t bad[] = {0644, 0604, 0602, 0601, 0620, 0610, 0777};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(chmod(f->path, bad[i]), 0);
        kmse_st st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
        expect_reason(st, KMSE_R_FILE_MODE);
        assert_non_null(strstr(f->why.text, "chmod 600"));
        assert_non_null(strstr(f->why.text, f->path));
        st = kmse_kms_rotate_master(f->kms, f->uri, &f->why);
        expect_reason(st, KMSE_R_FILE_MODE);
    }
    struct stat status;
    assert_int_equal(chmod(f->path, 0640), 0);
    expect_ok(kmse_kms_rotate_master(f->kms, f->uri, &f->why));
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
}

static void absent_and_unreadable_differ(void **state)
{
    struct fixture *f = *state;
    struct kmse_kms_description description;
    kmse_st st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
    expect_reason(st, KMSE_R_KMS_KEY_NOT_FOUND);
    assert_non_null(strstr(f->why.text, f->uri));
    st = kmse_kms_rotate_master(f->kms, f->uri, &f->why);
    expect_reason(st, KMSE_R_KMS_KEY_NOT_FOUND);
    st = kmse_kms_describe(f->kms, "local:/proc/self/fd/0/x", &description,
                           &f->why);
    expect_reason(st, KMSE_R_KMS_KEY_NOT_FOUND);

    if (geteuid() == 0) {
        enum { NOBODY = 65534 };
        expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
        assert_int_equal(seteuid(NOBODY), 0);
        st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
        assert_int_equal(seteuid(0), 0);
    } else {
        expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
        assert_int_equal(chmod(f->path, 0), 0);
        st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
    }
    expect_reason(st, KMSE_R_KMS_DENIED);
    assert_non_null(strstr(f->why.text, f->uri));
}

/* The file, put together from its parts. */
static void write_file(const struct fixture *f, const char *text, size_t len)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
    close(fd);
}

#define HEAD    "{\"format\":\"kms-envelope local master key 1\","
#define ID      "\"id\":\"000102030405060708090a0b0c0d0e0f\","
#define KEY_B64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY1                                                                   \
    "{\"number\":1,\"created\":\"2026-01-01T00:00:00Z\",\"key\":\"" KEY_B64    \
    "\"}"
#define KEYS "\"backing-keys\":[" KEY1 "]"

static void malformed_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct kmse_kms_description description;
    static const char good[] = HEAD ID KEYS "}";
    write_file(f, good, sizeof(good) - 1);
    expect_ok(kmse_kms_describe(f->kms, f->uri, &description, &f->why));
    assert_string_equal(description.id, "000102030405060708090a0b0c0d0e0f");

    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        HEAD KEYS "}",
        HEAD ID "\"x\":1}",
        HEAD ID KEYS ",\"x\":1}",
        HEAD ID KEYS "," KEYS "}",
        HEAD ID KEYS "} x",
        HEAD ID KEYS "}}",
        ID KEYS "}",
        "{" ID KEYS "}",
        "{\"Format\":\"kms-envelope local master key 1\"," ID KEYS "}",
        "{\"format\":\"kms-envelope local master key 2\"," ID KEYS "}",
        "{\"format\":1," ID KEYS "}",
        HEAD "\"id\":\"00\"," KEYS "}",
        HEAD "\"id\":\"000102030405060708090A0B0C0D0E0F\"," KEYS "}",
        HEAD "\"id\":null," KEYS "}",
        HEAD "\"id\":\"000102030405060708090a0b0c0d0e0f\\u0000\"," KEYS "}",
        HEAD ID "\"backing-keys\":[]}",
        HEAD ID "\"backing-keys\":{}}",
        HEAD ID "\"backing-keys\":[1]}",
        HEAD ID "\"backing-keys\":[" KEY1 "," KEY1 "]}",
        HEAD ID "\"backing-keys\":[{\"number\":1}]}",
        HEAD ID "\"backing-keys\":[{\"number\":2,\"created\":"
                "\"2026-01-01T00:00:00Z\",\"key\":\"" KEY_B64 "\"}]}",
        HEAD ID "\"backing-keys\":[{\"number\":\"1\",\"created\":"
                "\"2026-01-01T00:00:00Z\",\"key\":\"" KEY_B64 "\"}]}",
        HEAD ID "\"backing-keys\":[{\"number\":1,\"created\":"
                "\"2026-02-30T00:00:00Z\",\"key\":\"" KEY_B64 "\"}]}",
        HEAD ID "\"backing-keys\":[{\"number\":1,\"created\":"
                "\"2026-01-01T00:00:00Z\",\"key\":\"AAAA\"}]}",
        HEAD ID "\"backing-keys\":[{\"number\":1,\"created\":"
                "\"2026-01-01T00:00:00Z\",\"key\":17}]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_file(f, bad[i], strlen(bad[i]));
        kmse_st st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
        expect_reason(st, KMSE_R_KMS_ANSWER);
        assert_non_null(strstr(f->why.text, f->uri));
        assert_null(strstr(f->why.text, KEY_B64));
    }
    static const char with_nul[] = HEAD ID KEYS "}\0";
    write_file(f, with_nul, sizeof(with_nul) - 1);
    kmse_st st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
    expect_reason(st, KMSE_R_KMS_ANSWER);
}

static void truncated_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct kmse_kms_description description;
    expect_ok(kmse_kms_ensure(f->kms, f->uri, NULL, &f->why));
    expect_ok(kmse_kms_rotate_master(f->kms, f->uri, &f->why));
    uint8_t *bytes = NULL;
    size_t len = 0;
    expect_ok(kmse_file_read(f->path, FILE_MAX, 0, &bytes, &len, &f->why));
    for (size_t cut = 0; cut < len - 1; cut++) { /* but for the last newline */
        write_file(f, (const char *)bytes, cut);
        kmse_st st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
        expect_reason(st, KMSE_R_KMS_ANSWER);
    }
    kmse_file_free_bytes(bytes, len);
}

static void a_folder_is_no_master_key(void **state)
{
    struct fixture *f = *state;
    struct kmse_kms_description description;
    assert_int_equal(mkdir(f->path, 0700), 0);
    kmse_st st = kmse_kms_describe(f->kms, f->uri, &description, &f->why);
    assert_false(kmse_is_ok(st));
    assert_non_null(strstr(f->why.text, f->path));
    assert_int_equal(rmdir(f->path), 0);
}

/* What one more backing key would not fit in must not lose the others. */
static void a_full_master_says_so(void **state)
{
    struct fixture *f = *state;
    struct kmse_master master = {0};
    for (size_t i = 0; i < KMSE_BACKING_KEYS_MAX; i++) {
        struct kmse_secret key = {0};
        expect_ok(kmse_secret_init(&key, f->pool));
        key.bytes[0] = (uint8_t)(i + 1);
        expect_ok(kmse_master_add(&master, NOW_S, &key));
    }
    uint8_t *json = NULL;
    size_t len = 0;
    expect_ok(kmse_master_print(&json, &len, &master));
    write_file(f, (const char *)json, len);
    kmse_file_free_bytes(json, len);
    kmse_master_wipe(&master);

    kmse_st st = kmse_kms_rotate_master(f->kms, f->uri, &f->why);
    expect_reason(st, KMSE_R_STATE);
    struct kmse_kms_description description;
    expect_ok(kmse_kms_describe(f->kms, f->uri, &description, &f->why));
    assert_int_equal(description.backing_keys, KMSE_BACKING_KEYS_MAX);
}

#define LOCAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(generates_and_opens),
        LOCAL_TEST(wrong_contexts_are_refused),
        LOCAL_TEST(every_flipped_bit_is_refused),
        LOCAL_TEST(every_other_length_is_refused),
        LOCAL_TEST(a_rotated_master_opens_old_blobs),
        LOCAL_TEST(two_masters_do_not_open_each_others),
        LOCAL_TEST(ensure_keeps_what_is_there),
        LOCAL_TEST(modes_are_checked_and_kept),
        LOCAL_TEST(absent_and_unreadable_differ),
        LOCAL_TEST(malformed_files_are_refused),
        LOCAL_TEST(truncated_files_are_refused),
        LOCAL_TEST(a_folder_is_no_master_key),
        LOCAL_TEST(a_full_master_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
