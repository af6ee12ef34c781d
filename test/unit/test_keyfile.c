/* SPDX-License-Identifier: Apache-2.0 */
/* The key file: read strictly, proven, never written with less. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/file.h"
#include "keyring/keyfile.h"
#include "keyring/rotation.h"

static struct {
    char folder[64], master[128], path[128];
    struct kmse_rotation rotation;
} at;

static const char NAME[] = "emails";

static struct kmse_why why;

static void expect_done(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

/* --- a folder with a key of two versions -------------------------------- */

static int set_up(void **state)
{
    (void)state;
    struct kmse_rotation *r = &at.rotation;
    uint32_t number = 0;
    struct kmse_kms_context context = {0};
    snprintf(at.folder, sizeof(at.folder), "/tmp/kmse-keyfile-XXXXXX");
    if (mkdtemp(at.folder) == NULL)
        return -1;
    snprintf(at.master, sizeof(at.master), "local:%s/master.key", at.folder);
    snprintf(at.path, sizeof(at.path), "%s/%s.json", at.folder, NAME);
    r->folder = at.folder;
    r->clock = &kmse_clock_system;
    expect_ok(kmse_crypto_new(&r->crypto, NULL, false));
    expect_ok(kmse_pool_new(&r->pool));
    expect_ok(kmse_kms_new(&r->kms, r->crypto, r->pool, r->clock, NULL));
    expect_ok(kmse_kms_context_add(&context, "app", "crm"));
    const char *uris[] = {at.master};
    const struct kmse_policy policy = {.max_messages = 1000, .max_bytes = 77};
    expect_done(
        kmse_rotation_create(r, NAME, uris, 1, &context, &policy, &why));
    expect_done(kmse_rotation_rotate(r, NAME, 600, &number, &why));
    assert_int_equal(number, 2);
    kmse_kms_context_wipe(&context);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    kmse_kms_free(at.rotation.kms);
    kmse_pool_free(at.rotation.pool);
    kmse_crypto_free(at.rotation.crypto);
    snprintf(command, sizeof(command), "rm -r '%s'", at.folder);
    return system(command);
}

static cJSON *read_json(void)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    expect_done(kmse_file_read(at.path, 1 << 20, 0, &bytes, &len, &why));
    cJSON *root = cJSON_Parse((const char *)bytes);
    assert_non_null(root);
    kmse_file_free_bytes(bytes, len);
    return root;
}

static kmse_st parse(const char *text)
{
    struct kmse_keyfile *file = NULL;
    kmse_st st =
        kmse_keyfile_parse(&file, text, strlen(text), NAME, "the file", &why);
    assert_true(kmse_is_ok(st) == (file != NULL));
    kmse_keyfile_free(file);
    return st;
}

static kmse_st parse_json(const cJSON *root)
{
    char *text = cJSON_Print(root);
    kmse_st st = parse(text);
    free(text);
    return st;
}

/* --- reading ------------------------------------------------------------ */

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct kmse_keyfile *file = NULL;
    expect_done(kmse_keyfile_read(&file, at.folder, NAME, NULL, &why));
    assert_int_equal(file->version_count, 2);
    assert_int_equal(file->policy.max_messages, 1000);
    assert_int_equal(file->policy.max_bytes, 77);
    assert_string_equal(file->context.pairs[0].value, "crm");
    assert_int_equal(kmse_keyfile_newest(file)->number, 2);
    const struct kmse_version *two = kmse_keyfile_find(file, 2);
    assert_true(two->active_from_s == two->created_s + 600);
    assert_int_equal(kmse_keyfile_current(file, two->created_s)->number, 1);
    assert_int_equal(kmse_keyfile_current(file, two->active_from_s)->number, 2);
    assert_null(kmse_keyfile_current(file, file->created_s - 1));
    assert_null(kmse_keyfile_find(file, 3));
    kmse_keyfile_free(file);
}

/* Visit every object of the file, for the tests below to break it. */
typedef void break_fn(cJSON *root, cJSON *object);

static void for_each_object(break_fn *break_object)
{
    cJSON *root = read_json();
    cJSON *version =
        cJSON_GetArrayItem(cJSON_GetObjectItem(root, "versions"), 1);
    cJSON *copy = cJSON_GetArrayItem(cJSON_GetObjectItem(version, "copies"), 0);
    break_object(root, root);
    break_object(root, version);
    break_object(root, copy);
    expect_done(parse_json(root));
    cJSON_Delete(root);
}

static void expect_field_named(kmse_st st, const char *field)
{
    if (kmse_is_ok(st))
        fail_msg("accepted a file with a bad %s", field);
    expect_reason(st, KMSE_R_KEYFILE_FIELD);
    if (strstr(why.text, field) == NULL)
        fail_msg("\"%s\" does not name %s", why.text, field);
}

static void drop_each_field(cJSON *root, cJSON *object)
{
    int count = cJSON_GetArraySize(object);
    for (int i = 0; i < count; i++) { /* each first once, then last */
        cJSON *item = cJSON_DetachItemFromArray(object, 0);
        expect_field_named(parse_json(root), item->string);
        cJSON_AddItemToArray(object, item);
    }
}

static void a_missing_field_is_named(void **state)
{
    (void)state;
    for_each_object(drop_each_field);
}

static void retype_each_field(cJSON *root, cJSON *object)
{
    int count = cJSON_GetArraySize(object);
    for (int i = 0; i < count; i++) {
        cJSON *item = cJSON_DetachItemFromArray(object, 0);
        cJSON *others[] = {cJSON_CreateNull(),       cJSON_CreateTrue(),
                           cJSON_CreateNumber(-1),   cJSON_CreateNumber(1.5),
                           cJSON_CreateString("zz"), cJSON_CreateArray()};
        for (size_t j = 0; j < sizeof(others) / sizeof(others[0]); j++) {
            bool is_master_uri =
                strcmp(item->string, "kms") == 0 && cJSON_IsString(others[j]);
            cJSON_AddItemToObject(object, item->string, others[j]);
            if (!is_master_uri)
                expect_field_named(parse_json(root), item->string);
            cJSON_DeleteItemFromObjectCaseSensitive(object, item->string);
        }
        cJSON_AddItemToArray(object, item);
    }
}

static void a_field_of_a_wrong_type_is_named(void **state)
{
    (void)state;
    for_each_object(retype_each_field);
}

static void add_unknown_field(cJSON *root, cJSON *object)
{
    cJSON_AddStringToObject(object, "colour", "red");
    expect_field_named(parse_json(root), "colour");
    cJSON_DeleteItemFromObject(object, "colour");
    /* A field of another case, and one given twice. */
    const char *first = object->child->string;
    char twice[64];
    snprintf(twice, sizeof(twice), "%s", first);
    cJSON_AddItemToObject(object, twice, cJSON_CreateString("x"));
    expect_field_named(parse_json(root), twice);
    cJSON_DeleteItemFromArray(object, cJSON_GetArraySize(object) - 1);
}

static void an_unknown_or_repeated_field_is_named(void **state)
{
    (void)state;
    for_each_object(add_unknown_field);
}

/* An adopted copy has a context of its own; nothing else may. */
static void an_adopted_copy_says_so(void **state)
{
    (void)state;
    cJSON *root = read_json();
    cJSON *versions = cJSON_GetObjectItem(root, "versions");
    cJSON *version = cJSON_GetArrayItem(versions, 0);
    cJSON *copy = cJSON_GetArrayItem(cJSON_GetObjectItem(version, "copies"), 0);
    cJSON *full = cJSON_DetachItemFromObject(copy, "context");
    cJSON *own = cJSON_AddObjectToObject(copy, "context");
    expect_field_named(parse_json(root), "copies[0].context");
    cJSON_AddBoolToObject(copy, "adopted", false);
    expect_field_named(parse_json(root), "copies[0].adopted");
    cJSON_ReplaceItemInObject(copy, "adopted", cJSON_CreateString("true"));
    expect_field_named(parse_json(root), "copies[0].adopted");
    cJSON_ReplaceItemInObject(copy, "adopted", cJSON_CreateTrue());
    expect_done(parse_json(root));
    cJSON_AddStringToObject(own, "ours", "1");
    expect_done(parse_json(root));
    /* What was made for a version stands for no other. */
    cJSON_AddStringToObject(own, "kms-envelope:version", "1");
    expect_field_named(parse_json(root), "copies[0].context");
    cJSON_ReplaceItemInObject(copy, "context", full);
    expect_field_named(parse_json(root), "copies[0].context");
    cJSON_DeleteItemFromObject(copy, "adopted");
    expect_done(parse_json(root));
    cJSON_Delete(root);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    cJSON *root = read_json();
    char *text = cJSON_Print(root);
    for (size_t len = strlen(text); len > 0; len--) {
        text[len - 1] = '\0';
        assert_false(kmse_is_ok(parse(text)));
    }
    free(text);
    cJSON_Delete(root);
}

static void oddities_of_json_are_refused(void **state)
{
    (void)state;
    cJSON *root = read_json();
    char *text = cJSON_PrintUnformatted(root);
    char *odd = malloc(strlen(text) + 64);
    sprintf(odd, "%s x", text);
    expect_reason(parse(odd), KMSE_R_KEYFILE_SYNTAX);
    char *name = strstr(text, "emails\"");
    sprintf(odd, "%.*s\\u0000%s", (int)(name + 6 - text), text, name + 6);
    expect_reason(parse(odd), KMSE_R_KEYFILE_SYNTAX);
    expect_reason(parse(""), KMSE_R_KEYFILE_SYNTAX);
    expect_reason(parse("[]"), KMSE_R_KEYFILE_FIELD);
    free(odd);
    free(text);
    cJSON_Delete(root);
}

static void versions_stand_in_order(void **state)
{
    (void)state;
    cJSON *root = read_json();
    cJSON *versions = cJSON_GetObjectItem(root, "versions");
    cJSON *first = cJSON_DetachItemFromArray(versions, 0);
    expect_field_named(parse_json(root), "version");
    cJSON_AddItemToArray(versions, first);
    expect_field_named(parse_json(root), "version");
    cJSON_Delete(root);
}

static void another_keys_file_is_refused(void **state)
{
    (void)state;
    struct kmse_keyfile *file = NULL;
    char command[512];
    snprintf(command, sizeof(command), "cp -p %s %s/other.json", at.path,
             at.folder);
    assert_int_equal(system(command), 0);
    expect_field_named(kmse_keyfile_read(&file, at.folder, "other", NULL, &why),
                       "name");
    expect_reason(kmse_keyfile_read(&file, at.folder, "absent", NULL, &why),
                  KMSE_R_KEY_NOT_FOUND);
}

static void a_mode_that_is_too_open_is_refused(void **state)
{
    (void)state;
    static const mode_t BAD[] = {0604, 0602, 0620, 0660, 0644, 0666, 0777};
    static const mode_t GOOD[] = {0600, 0640, 0400, 0440};
    struct kmse_keyfile *file = NULL;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(chmod(at.path, BAD[i]), 0);
        expect_reason(kmse_keyfile_read(&file, at.folder, NAME, NULL, &why),
                      KMSE_R_FILE_MODE);
        assert_non_null(strstr(why.text, "chmod"));
    }
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        assert_int_equal(chmod(at.path, GOOD[i]), 0);
        expect_done(kmse_keyfile_read(&file, at.folder, NAME, NULL, &why));
        kmse_keyfile_free(file);
    }
}

/* --- proof -------------------------------------------------------------- */

static struct kmse_keyfile *read_file(void)
{
    struct kmse_keyfile *file = NULL;
    expect_done(kmse_keyfile_read(&file, at.folder, NAME, NULL, &why));
    return file;
}

static kmse_st unwrap(const struct kmse_keyfile *file, uint32_t number,
                      struct kmse_secret *data_key)
{
    const struct kmse_rotation *r = &at.rotation;
    return kmse_keyfile_unwrap(data_key, r->kms, r->crypto, file,
                               kmse_keyfile_find(file, number), &why);
}

static void every_change_under_the_mac_is_found(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    struct kmse_secret newest = {0};
    struct kmse_crypto *crypto = at.rotation.crypto;
    expect_done(unwrap(file, 2, &newest));
    expect_done(kmse_keyfile_check_mac(crypto, file, &newest, &why));

#define EXPECT_FOUND(field, changed)                                           \
    do {                                                                       \
        __typeof__(field) kept = (field);                                      \
        (field) = (changed);                                                   \
        expect_reason(kmse_keyfile_check_mac(crypto, file, &newest, &why),     \
                      KMSE_R_KEYFILE_MAC);                                     \
        (field) = kept;                                                        \
    } while (0)
    EXPECT_FOUND(file->created_s, file->created_s + 1);
    EXPECT_FOUND(file->policy.max_messages, 0);
    EXPECT_FOUND(file->policy.max_bytes, 78);
    EXPECT_FOUND(file->context.pairs[0].value[0], 'x');
    EXPECT_FOUND(file->context.pairs[0].name[0], 'x');
    EXPECT_FOUND(file->name[0], 'x');
    EXPECT_FOUND(file->mac[0], file->mac[0] ^ 1);
    EXPECT_FOUND(file->id[15], file->id[15] ^ 1);
    for (size_t i = 0; i < 2; i++) {
        struct kmse_version *v = &file->versions[i];
        EXPECT_FOUND(v->created_s, v->created_s - 1);
        EXPECT_FOUND(v->active_from_s, v->active_from_s - 1);
        EXPECT_FOUND(v->state, KMSE_VERSION_RETIRED);
        EXPECT_FOUND(v->commitment[31], v->commitment[31] ^ 0x80);
    }
#undef EXPECT_FOUND
    expect_done(kmse_keyfile_check_mac(crypto, file, &newest, &why));
    kmse_secret_wipe(&newest);
    kmse_keyfile_free(file);
}

static void swapped_blobs_do_not_open(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    struct kmse_secret data_key = {0};
    struct kmse_blob kept = file->versions[0].copies[0].blob;
    file->versions[0].copies[0].blob = file->versions[1].copies[0].blob;
    expect_reason(unwrap(file, 1, &data_key), KMSE_R_KMS_BLOB);
    assert_null(data_key.bytes);
    assert_non_null(strstr(why.text, "version 1"));

    /* With the whole copy moved its context goes along: the KMS opens it,
     * and the commitment tells. */
    struct kmse_kms_context context = file->versions[0].copies[0].context;
    file->versions[0].copies[0].context = file->versions[1].copies[0].context;
    expect_reason(unwrap(file, 1, &data_key), KMSE_R_COMMITMENT);
    assert_null(data_key.bytes);
    file->versions[0].copies[0].context = context;
    file->versions[0].copies[0].blob = kept;
    kmse_keyfile_free(file);
}

/* --- writing ------------------------------------------------------------ */

static void a_file_with_less_is_not_written(void **state)
{
    (void)state;
    struct kmse_keyfile *file = read_file();
    file->version_count = 1;
    expect_reason(kmse_keyfile_write(file, at.folder, &why), KMSE_R_INTERNAL);
    file->version_count = 2;
    file->versions[0].commitment[0] ^= 1;
    expect_reason(kmse_keyfile_write(file, at.folder, &why), KMSE_R_INTERNAL);
    file->versions[0].commitment[0] ^= 1;
    file->versions[0].copy_count = 0;
    expect_reason(kmse_keyfile_write(file, at.folder, &why), KMSE_R_INTERNAL);
    file->versions[0].copy_count = 1;
    file->id[0] ^= 1;
    expect_reason(kmse_keyfile_write(file, at.folder, &why), KMSE_R_INTERNAL);
    file->id[0] ^= 1;
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    kmse_keyfile_free(file);
}

static void a_writer_waits_for_the_lock_and_gives_up(void **state)
{
    (void)state;
    int first = -1, second = -1;
    expect_done(kmse_file_lock(at.folder, "x", 0, &first, &why));
    expect_reason(kmse_file_lock(at.folder, "x", 20, &second, &why),
                  KMSE_R_KEYFILE_LOCKED);
    kmse_file_unlock(first);
    expect_done(kmse_file_lock(at.folder, "x", 20, &second, &why));
    kmse_file_unlock(second);
}

static void leftovers_of_a_killed_writer_do_no_harm(void **state)
{
    (void)state;
    char command[256];
    uint32_t number = 0;
    snprintf(command, sizeof(command), "echo half > %s/.%s.json.new", at.folder,
             NAME);
    assert_int_equal(system(command), 0);
    expect_done(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why));
    assert_int_equal(number, 3);
    snprintf(command, sizeof(command), "%s/.%s.json.new", at.folder, NAME);
    assert_int_equal(access(command, F_OK), -1);
}

static void mode_of_the_file_is_kept(void **state)
{
    (void)state;
    struct stat status;
    uint32_t number = 0;
    assert_int_equal(stat(at.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(chmod(at.path, 0640), 0);
    expect_done(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why));
    assert_int_equal(stat(at.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
}

/* --- rotation ----------------------------------------------------------- */

static void a_key_is_made_once(void **state)
{
    (void)state;
    const char *uris[] = {at.master};
    expect_reason(
        kmse_rotation_create(&at.rotation, NAME, uris, 1, NULL, NULL, &why),
        KMSE_R_KEY_EXISTS);
    expect_reason(
        kmse_rotation_create(&at.rotation, "A", uris, 1, NULL, NULL, &why),
        KMSE_R_KEY_NAME);
    expect_reason(
        kmse_rotation_create(&at.rotation, "new", uris, 0, NULL, NULL, &why),
        KMSE_R_KMS_URI);
    uris[0] = "nowhere:x";
    expect_reason(
        kmse_rotation_create(&at.rotation, "new", uris, 1, NULL, NULL, &why),
        KMSE_R_KMS_URI);
}

static void a_changed_file_is_not_rotated(void **state)
{
    (void)state;
    uint32_t number = 0;
    struct kmse_keyfile *file = read_file();
    file->versions[0].state = KMSE_VERSION_RETIRED;
    expect_done(kmse_keyfile_write(file, at.folder, &why));
    expect_reason(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why),
                  KMSE_R_KEYFILE_MAC);
    kmse_keyfile_free(file);
}

static void two_master_keys_each_open_it(void **state)
{
    (void)state;
    char second[128], path[128];
    struct kmse_secret data_key = {0};
    snprintf(second, sizeof(second), "local:%s/second.key", at.folder);
    const char *uris[] = {at.master, second};
    expect_done(
        kmse_rotation_create(&at.rotation, "both", uris, 2, NULL, NULL, &why));
    struct kmse_keyfile *file = NULL;
    expect_done(kmse_keyfile_read(&file, at.folder, "both", NULL, &why));
    assert_int_equal(file->versions[0].copy_count, 2);
    snprintf(path, sizeof(path), "%s/master.key", at.folder);
    assert_int_equal(unlink(path), 0);
    expect_done(unwrap(file, 1, &data_key));
    kmse_secret_wipe(&data_key);
    kmse_keyfile_free(file);
}

static void rewrapping_moves_to_another_master_key(void **state)
{
    (void)state;
    char to[128], path[128];
    struct kmse_rewrapped done = {0};
    struct kmse_secret before = {0}, after = {0};
    struct kmse_keyfile *file = read_file();
    expect_done(unwrap(file, 1, &before));
    kmse_keyfile_free(file);

    snprintf(to, sizeof(to), "local:%s/to.key", at.folder);
    const char *uris[] = {to};
    expect_done(kmse_rotation_rewrap(&at.rotation, NAME, KMSE_REWRAP_TO, uris,
                                     1, &done, &why));
    assert_int_equal(done.made, 2);
    assert_int_equal(done.dropped, 2);
    snprintf(path, sizeof(path), "%s/master.key", at.folder);
    assert_int_equal(unlink(path), 0);
    file = read_file();
    expect_done(unwrap(file, 1, &after));
    assert_memory_equal(before.bytes, after.bytes, KMSE_SECRET_LEN);
    kmse_secret_wipe(&before);
    kmse_secret_wipe(&after);
    kmse_keyfile_free(file);
}

static void rewrapping_in_place_makes_new_blobs(void **state)
{
    (void)state;
    struct kmse_rewrapped done = {0};
    struct kmse_keyfile *old = read_file();
    expect_done(kmse_rotation_rewrap(&at.rotation, NAME, KMSE_REWRAP_RENEW,
                                     NULL, 0, &done, &why));
    assert_int_equal(done.made, 2);
    assert_int_equal(done.dropped, 0);
    struct kmse_keyfile *file = read_file();
    for (size_t i = 0; i < 2; i++) {
        const struct kmse_blob *a = &old->versions[i].copies[0].blob;
        const struct kmse_blob *b = &file->versions[i].copies[0].blob;
        assert_true(a->len != b->len || memcmp(a->bytes, b->bytes, a->len));
    }
    kmse_keyfile_free(file);
    kmse_keyfile_free(old);
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(what_is_written_is_read),
        STORY(a_missing_field_is_named),
        STORY(a_field_of_a_wrong_type_is_named),
        STORY(an_unknown_or_repeated_field_is_named),
        STORY(an_adopted_copy_says_so),
        STORY(a_file_cut_anywhere_is_refused),
        STORY(oddities_of_json_are_refused),
        STORY(versions_stand_in_order),
        STORY(another_keys_file_is_refused),
        STORY(a_mode_that_is_too_open_is_refused),
        STORY(every_change_under_the_mac_is_found),
        STORY(swapped_blobs_do_not_open),
        STORY(a_file_with_less_is_not_written),
        STORY(a_writer_waits_for_the_lock_and_gives_up),
        STORY(leftovers_of_a_killed_writer_do_no_harm),
        STORY(mode_of_the_file_is_kept),
        STORY(a_key_is_made_once),
        STORY(a_changed_file_is_not_rotated),
        STORY(two_master_keys_each_open_it),
        STORY(rewrapping_moves_to_another_master_key),
        STORY(rewrapping_in_place_makes_new_blobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
