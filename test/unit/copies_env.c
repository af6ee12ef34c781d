/* SPDX-License-Identifier: Apache-2.0 */
/* Master keys that fail when told, and a key with copies under them. */
#include "copies_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

struct copies_env at;
struct kmse_why why;
char rewrapped_from[ANSWERS_MAX][URI_LEN];
size_t rewrap_count;
const struct kmse_blob *lie;

static struct {
    const char *uri;
    int reason;
} answers[ANSWERS_MAX];
static size_t answer_count;

void expect_done(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

void expect_said(const char *words)
{
    if (strstr(why.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why.text, words);
}

/* --- a KMS that fails, or lies, when told ------------------------------- */

void answer(const char *uri, int reason)
{
    answers[answer_count].uri = uri;
    answers[answer_count++].reason = reason;
}

void forget_answers(void)
{
    answer_count = 0;
}

kmse_st __real_kmse_kms_unwrap(struct kmse_kms *, const char *,
                               const struct kmse_kms_context *,
                               const struct kmse_blob *, struct kmse_secret *,
                               struct kmse_why *);
kmse_st __wrap_kmse_kms_unwrap(struct kmse_kms *, const char *,
                               const struct kmse_kms_context *,
                               const struct kmse_blob *, struct kmse_secret *,
                               struct kmse_why *);
kmse_st __wrap_kmse_kms_unwrap(struct kmse_kms *kms, const char *uri,
                               const struct kmse_kms_context *context,
                               const struct kmse_blob *blob,
                               struct kmse_secret *data_key,
                               struct kmse_why *reason)
{
    for (size_t i = 0; i < answer_count; i++) {
        if (strcmp(answers[i].uri, uri) == 0)
            return kmse_fail(reason, answers[i].reason, "%s: as told", uri);
    }
    return __real_kmse_kms_unwrap(kms, uri, context, blob, data_key, reason);
}

kmse_st __real_kmse_kms_rewrap(struct kmse_kms *, const char *,
                               const struct kmse_kms_context *,
                               const struct kmse_blob *, const char *,
                               const struct kmse_kms_context *,
                               struct kmse_blob *, struct kmse_why *);
kmse_st __wrap_kmse_kms_rewrap(struct kmse_kms *, const char *,
                               const struct kmse_kms_context *,
                               const struct kmse_blob *, const char *,
                               const struct kmse_kms_context *,
                               struct kmse_blob *, struct kmse_why *);
kmse_st __wrap_kmse_kms_rewrap(struct kmse_kms *kms, const char *from_uri,
                               const struct kmse_kms_context *from_context,
                               const struct kmse_blob *from_blob,
                               const char *to_uri,
                               const struct kmse_kms_context *to_context,
                               struct kmse_blob *to_blob,
                               struct kmse_why *reason)
{
    snprintf(rewrapped_from[rewrap_count++], URI_LEN, "%s", from_uri);
    if (lie != NULL)
        return kmse_blob_copy(to_blob, lie);
    return __real_kmse_kms_rewrap(kms, from_uri, from_context, from_blob,
                                  to_uri, to_context, to_blob, reason);
}

/* --- setting up --------------------------------------------------------- */

int set_up(void **state)
{
    (void)state;
    struct kmse_rotation *r = &at.rotation;
    answer_count = 0;
    rewrap_count = 0;
    lie = NULL;
    snprintf(at.folder, sizeof(at.folder), "/tmp/kmse-copies-XXXXXX");
    if (mkdtemp(at.folder) == NULL)
        return -1;
    r->folder = at.folder;
    r->clock = &kmse_clock_system;
    expect_ok(kmse_crypto_new(&r->crypto, NULL, false));
    expect_ok(kmse_pool_new(&r->pool));
    expect_ok(kmse_kms_new(&r->kms, r->crypto, r->pool, r->clock, NULL));
    for (int i = A; i <= C; i++) {
        snprintf(at.path[i], PATH_LEN, "%s/%c.key", at.folder, 'a' + i);
        snprintf(at.uri[i], URI_LEN, "local:%s", at.path[i]);
        expect_done(kmse_kms_ensure(r->kms, at.uri[i], NULL, &why));
    }
    return 0;
}

int set_up_two(void **state)
{
    if (set_up(state) != 0)
        return -1;
    const char *uris[] = {at.uri[A], at.uri[B]};
    uint32_t number = 0;
    expect_done(
        kmse_rotation_create(&at.rotation, NAME, uris, 2, NULL, NULL, &why));
    expect_done(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why));
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    char command[128];
    kmse_kms_free(at.rotation.kms);
    kmse_pool_free(at.rotation.pool);
    kmse_crypto_free(at.rotation.crypto);
    snprintf(command, sizeof(command), "rm -r '%s'", at.folder);
    return system(command);
}

struct kmse_keyfile *read_file(void)
{
    struct kmse_keyfile *file = NULL;
    expect_done(kmse_keyfile_read(&file, at.folder, NAME, NULL, &why));
    return file;
}

kmse_st open_with(const struct kmse_keyfile *file,
                  const struct kmse_version *version,
                  struct kmse_secret *data_key)
{
    return kmse_keyfile_unwrap(data_key, at.rotation.kms, at.rotation.crypto,
                               file, version, &why);
}

void make_unreachable(int master)
{
    assert_int_equal(unlink(at.path[master]), 0);
    assert_int_equal(symlink(at.path[master], at.path[master]), 0);
}

void falsify(const struct kmse_keyfile *file, struct kmse_copy *copy)
{
    struct kmse_secret other = {0};
    kmse_blob_wipe(&copy->blob);
    expect_done(kmse_kms_generate(at.rotation.kms, copy->kms, &copy->context,
                                  &other, &copy->blob, &why));
    kmse_secret_wipe(&other);
    expect_done(kmse_keyfile_write(file, at.folder, &why));
}

void expect_every_copy_opens(void)
{
    struct kmse_keyfile *file = read_file();
    for (size_t i = 0; i < file->version_count; i++) {
        for (size_t j = 0; j < file->versions[i].copy_count; j++) {
            struct kmse_secret data_key = {0};
            struct kmse_version alone = file->versions[i];
            alone.copies += j;
            alone.copy_count = 1;
            expect_done(open_with(file, &alone, &data_key));
            kmse_secret_wipe(&data_key);
        }
    }
    kmse_keyfile_free(file);
}

void expect_copies(const char *one, const char *two)
{
    const char *expected[] = {one, two};
    struct kmse_keyfile *file = read_file();
    assert_int_equal(file->version_count, 2);
    for (size_t i = 0; i < 2; i++) {
        char found[64] = "";
        for (size_t j = 0; j < file->versions[i].copy_count; j++) {
            const char *uri = file->versions[i].copies[j].kms;
            size_t len = strlen(found);
            snprintf(found + len, sizeof(found) - len, "%s%c", j > 0 ? " " : "",
                     uri[strlen(uri) - sizeof(".key")]);
        }
        assert_string_equal(found, expected[i]);
    }
    kmse_keyfile_free(file);
}

char *file_text(void)
{
    char path[URI_LEN];
    uint8_t *bytes = NULL;
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/%s.json", at.folder, NAME);
    expect_done(kmse_file_read(path, 1 << 20, 0, &bytes, &len, &why));
    return (char *)bytes;
}
