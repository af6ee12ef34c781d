/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys that are there before their key: read strictly, adopted, wrapped.
 */
#include "copies_env.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "tools/import.h"

static const uint8_t KEY[KMSE_SECRET_LEN] = {
    0x00, 0x0a, 0xff, 0x7f, 0x80, 0x0d, 0x20, 0x3d, 0x01, 0x02, 0x03,
    0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x10, 0x11, 0x12, 0x13, 0x14,
    0x15, 0x16, 0x17, 0x18, 0x19, 0xfb, 0xef, 0xbe, 0xfe, 0x0a};
static const char HEX[] =
    "000aff7f800d203d0102030405060708091011121314151617181"
    "9fbefbefe0a";
static const char BASE64[] = "AAr/f4ANID0BAgMEBQYHCAkQERITFBUWFxgZ++++/go=";

static enum kmse_import_form form;

/* --- plain keys --------------------------------------------------------- */

static kmse_st parse(const void *bytes, size_t len,
                     struct kmse_secret *data_key)
{
    form = (enum kmse_import_form)77;
    return kmse_import_key_parse(data_key, at.rotation.pool, &form, bytes, len,
                                 &why);
}

static void expect_key(const void *bytes, size_t len, enum kmse_import_form as)
{
    struct kmse_secret data_key = {0};
    expect_done(parse(bytes, len, &data_key));
    assert_memory_equal(data_key.bytes, KEY, sizeof(KEY));
    assert_int_equal(form, as);
    kmse_secret_wipe(&data_key);
}

static void expect_no_key(const void *bytes, size_t len)
{
    struct kmse_secret data_key = {0};
    kmse_st st = parse(bytes, len, &data_key);
    if (kmse_is_ok(st))
        fail_msg("accepted %zu bytes: %.*s", len, (int)len,
                 (const char *)bytes);
    expect_reason(st, KMSE_R_ENCODING);
    assert_null(data_key.bytes);
    assert_int_equal(form, 77);
}

static void a_key_is_read_in_each_of_its_forms(void **state)
{
    (void)state;
    char text[128];
    static const char *const ENDS[] = {"", "\n", "\r\n"};
    expect_key(KEY, sizeof(KEY), KMSE_IMPORT_BINARY);
    for (size_t i = 0; i < sizeof(ENDS) / sizeof(ENDS[0]); i++) {
        snprintf(text, sizeof(text), "%s%s", HEX, ENDS[i]);
        expect_key(text, strlen(text), KMSE_IMPORT_HEX);
        for (char *c = text; *c != '\0'; c++)
            *c = (char)(*c >= 'a' && *c <= 'f' ? *c - 'a' + 'A' : *c);
        expect_key(text, strlen(text), KMSE_IMPORT_HEX);
        snprintf(text, sizeof(text), "%s%s", BASE64, ENDS[i]);
        expect_key(text, strlen(text), KMSE_IMPORT_BASE64);
    }
}

/* The oracle is the other decoder, of base/bytes.c. */
static void both_alphabets_are_read_whole(void **state)
{
    (void)state;
    uint8_t key[KMSE_SECRET_LEN];
    char hex[2 * KMSE_SECRET_LEN + 1], *base64 = NULL;
    for (unsigned start = 0; start < 256; start++) {
        struct kmse_secret from_hex = {0}, from_base64 = {0};
        for (unsigned i = 0; i < sizeof(key); i++)
            key[i] = (uint8_t)(start * 167 + i * 59);
        kmse_hex_encode(hex, key, sizeof(key));
        expect_ok(kmse_base64_encode(&base64, key, sizeof(key)));
        expect_done(parse(hex, strlen(hex), &from_hex));
        expect_done(parse(base64, strlen(base64), &from_base64));
        assert_memory_equal(from_hex.bytes, key, sizeof(key));
        assert_memory_equal(from_base64.bytes, key, sizeof(key));
        kmse_secret_wipe(&from_hex);
        kmse_secret_wipe(&from_base64);
        free(base64);
    }
}

static void no_other_length_is_a_key(void **state)
{
    (void)state;
    char text[130];
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, 'A', sizeof(text));
        if (len != 32 && len != 64)
            expect_no_key(text, len);
        memset(text, 0, sizeof(text));
        if (len != 32)
            expect_no_key(text, len);
    }
    /* A raw key ends where it ends: the newline may be its last byte. */
    memcpy(text, KEY, sizeof(KEY));
    text[sizeof(KEY)] = '\n';
    expect_no_key(text, sizeof(KEY) + 1);
    snprintf(text, sizeof(text), "%s\n\n", HEX);
    expect_no_key(text, strlen(text));
    snprintf(text, sizeof(text), " %s", HEX);
    expect_no_key(text, strlen(text));
}

static bool is_hex(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')
           || (c >= 'A' && c <= 'F');
}

static bool is_base64(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
           || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
}

static void no_other_character_is_a_digit(void **state)
{
    (void)state;
    struct kmse_secret data_key = {0};
    for (int c = 0; c < 256; c++) {
        char text[128];
        for (size_t i = 0; i < strlen(HEX); i++) {
            snprintf(text, sizeof(text), "%s", HEX);
            text[i] = (char)c;
            if (!is_hex(c))
                expect_no_key(text, strlen(HEX));
        }
        for (size_t i = 0; i < strlen(BASE64); i++) {
            snprintf(text, sizeof(text), "%s", BASE64);
            text[i] = (char)c;
            /* The last digit has two bits too many: they must be zero. */
            bool good = i < 42 ? is_base64(c) : text[i] == BASE64[i];
            if (i == 42)
                good = is_base64(c) && strchr("AEIMQUYcgkosw048", c) != NULL;
            if (!good)
                expect_no_key(text, strlen(BASE64));
            else
                expect_done(parse(text, strlen(BASE64), &data_key));
            kmse_secret_wipe(&data_key);
        }
    }
}

static void half_a_key_in_hex_is_not_taken_for_a_whole_one(void **state)
{
    (void)state;
    struct kmse_secret data_key = {0};
    expect_no_key("00112233445566778899aabbccddEEFF", 32);
    expect_said("16 bytes");
    expect_done(parse("00112233445566778899aabbccddEEFg", 32, &data_key));
    kmse_secret_wipe(&data_key);
}

static kmse_st read_from(const void *bytes, size_t len,
                         struct kmse_secret *data_key)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], bytes, len), (ssize_t)len);
    close(ends[1]);
    kmse_st st =
        kmse_import_key_read(data_key, at.rotation.pool, &form, ends[0], &why);
    close(ends[0]);
    return st;
}

static void standard_input_is_read_to_its_end(void **state)
{
    (void)state;
    char text[256];
    struct kmse_secret data_key = {0};
    snprintf(text, sizeof(text), "%s\r\n", HEX);
    expect_done(read_from(text, strlen(text), &data_key));
    assert_memory_equal(data_key.bytes, KEY, sizeof(KEY));
    kmse_secret_wipe(&data_key);
    memset(text, 'a', sizeof(text));
    for (size_t len = 65; len <= sizeof(text); len++) {
        expect_reason(read_from(text, len, &data_key), KMSE_R_ENCODING);
        expect_said("standard input");
        assert_null(strstr(why.text, "aaaa"));
    }
    expect_reason(read_from("", 0, &data_key), KMSE_R_ENCODING);
    expect_reason(
        kmse_import_key_read(&data_key, at.rotation.pool, &form, -1, &why),
        KMSE_R_FILE);
}

static void a_terminal_is_refused(void **state)
{
    (void)state;
    struct kmse_secret data_key = {0};
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    assert_int_equal(grantpt(terminal) | unlockpt(terminal), 0);
    int fd = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    assert_true(fd >= 0);
    expect_reason(
        kmse_import_key_read(&data_key, at.rotation.pool, &form, fd, &why),
        KMSE_R_FILE);
    expect_said("terminal");
    close(fd);
    close(terminal);
}

/* --- wrapped keys ------------------------------------------------------- */

static kmse_st parse_blob(const void *bytes, size_t len, struct kmse_blob *blob)
{
    return kmse_import_blob_parse(blob, &form, bytes, len, &why);
}

static void expect_blob(const void *bytes, size_t len, enum kmse_import_form as,
                        const void *wanted, size_t wanted_len)
{
    struct kmse_blob blob = {0};
    expect_done(parse_blob(bytes, len, &blob));
    assert_int_equal(blob.len, wanted_len);
    assert_memory_equal(blob.bytes, wanted, wanted_len);
    assert_int_equal(form, as);
    kmse_blob_wipe(&blob);
}

static void a_blob_is_binary_or_base64(void **state)
{
    (void)state;
    static const char LINES[] = "AAr/f4ANID0BAgMEBQ\r\nYHCAkQERITFBUWFxgZ\n"
                                "++++/go=\n";
    char text[64] = "";
    expect_blob(KEY, sizeof(KEY), KMSE_IMPORT_BINARY, KEY, sizeof(KEY));
    expect_blob(BASE64, strlen(BASE64), KMSE_IMPORT_BASE64, KEY, sizeof(KEY));
    snprintf(text, sizeof(text), "%s\n", BASE64);
    expect_blob(text, strlen(text), KMSE_IMPORT_BASE64, KEY, sizeof(KEY));
    expect_blob(LINES, strlen(LINES), KMSE_IMPORT_BASE64, KEY, sizeof(KEY));
    /* One byte that is no text makes it bytes, base64 around it or not. */
    text[3] = '\x80';
    expect_blob(text, strlen(text), KMSE_IMPORT_BINARY, text, strlen(text));
    for (size_t nul = 3; nul < 6; nul++) {
        snprintf(text, sizeof(text), "%s\n", BASE64);
        text[nul] = '\0';
        expect_blob(text, strlen(BASE64), KMSE_IMPORT_BINARY, text,
                    strlen(BASE64));
    }
}

static void other_text_is_no_blob(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "",         "\n",   "AAA",    "AAAA AAAA",
        "AAAA====", "AAB=", "\tAAAA", "{\"CiphertextBlob\": \"AAAA\"}",
        "AAr_f4AN",
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        struct kmse_blob blob = {0};
        expect_reason(parse_blob(TEXTS[i], strlen(TEXTS[i]), &blob),
                      KMSE_R_ENCODING);
        assert_null(blob.bytes);
    }
}

static void a_blob_has_at_most_6144_bytes(void **state)
{
    (void)state;
    uint8_t bytes[KMSE_BLOB_MAX + 1] = {0x80};
    struct kmse_blob blob = {0};
    expect_blob(bytes, KMSE_BLOB_MAX, KMSE_IMPORT_BINARY, bytes, KMSE_BLOB_MAX);
    expect_reason(parse_blob(bytes, sizeof(bytes), &blob), KMSE_R_ENCODING);
    char *text = NULL;
    expect_ok(kmse_base64_encode(&text, bytes, sizeof(bytes)));
    expect_reason(parse_blob(text, strlen(text), &blob), KMSE_R_ENCODING);
    free(text);
    assert_null(blob.bytes);
}

/* --- the key that becomes of it ----------------------------------------- */

static struct kmse_kms_context blob_context;
static struct kmse_blob blob;
static struct kmse_secret data_key;

static int set_up_blob(void **state)
{
    if (set_up(state) != 0)
        return -1;
    expect_ok(kmse_kms_context_add(&blob_context, "ours", "1"));
    expect_ok(kmse_secret_init(&data_key, at.rotation.pool));
    memcpy(data_key.bytes, KEY, sizeof(KEY));
    expect_done(kmse_kms_wrap(at.rotation.kms, at.uri[A], &blob_context,
                              &data_key, &blob, &why));
    return 0;
}

static int tear_down_blob(void **state)
{
    kmse_kms_context_wipe(&blob_context);
    kmse_blob_wipe(&blob);
    kmse_secret_wipe(&data_key);
    return tear_down(state);
}

static kmse_st import_under(const struct kmse_import *import, const char *first,
                            const char *second)
{
    const char *uris[] = {first, second};
    return kmse_rotation_import(&at.rotation, NAME, uris,
                                second != NULL ? 2 : 1, NULL, NULL, import,
                                &why);
}

static void expect_not_made(const struct kmse_import *import, const char *first,
                            const char *second, int reason)
{
    struct kmse_file_mark mark;
    expect_reason(import_under(import, first, second), reason);
    expect_reason(kmse_keyfile_stat(at.folder, NAME, &mark, NULL),
                  KMSE_R_KEY_NOT_FOUND);
}

static void expect_opens_to_the_key(void)
{
    struct kmse_secret opened = {0};
    struct kmse_keyfile *file = read_file();
    expect_done(open_with(file, &file->versions[0], &opened));
    assert_memory_equal(opened.bytes, KEY, sizeof(KEY));
    kmse_secret_wipe(&opened);
    kmse_keyfile_free(file);
    expect_every_copy_opens();
}

static void a_blob_is_kept_as_it_stands(void **state)
{
    (void)state;
    const struct kmse_import import = {.blob = &blob,
                                       .blob_context = &blob_context};
    uint32_t number = 0;
    expect_done(import_under(&import, at.uri[A], at.uri[B]));
    expect_opens_to_the_key();
    expect_done(kmse_rotation_rotate(&at.rotation, NAME, 0, &number, &why));
    struct kmse_keyfile *file = read_file();
    const struct kmse_copy *one = file->versions[0].copies;
    const struct kmse_copy *two = file->versions[1].copies;
    assert_true(one[0].adopted && !one[1].adopted);
    assert_int_equal(one[0].blob.len, blob.len);
    assert_memory_equal(one[0].blob.bytes, blob.bytes, blob.len);
    assert_true(kmse_kms_context_equal(&one[0].context, &blob_context));
    assert_int_equal(one[1].context.count, 2);
    /* A new version has nothing of it. */
    assert_true(!two[0].adopted && !two[1].adopted);
    assert_int_equal(two[0].context.count, 2);
    assert_string_equal(two[0].kms, at.uri[A]);
    kmse_keyfile_free(file);
}

static void rewrapping_binds_an_adopted_copy(void **state)
{
    (void)state;
    struct kmse_rewrapped done = {0};
    const struct kmse_import import = {.blob = &blob,
                                       .blob_context = &blob_context};
    expect_done(import_under(&import, at.uri[A], NULL));
    expect_done(kmse_rotation_rewrap(&at.rotation, NAME, KMSE_REWRAP_RENEW,
                                     NULL, 0, &done, &why));
    struct kmse_keyfile *file = read_file();
    const struct kmse_copy *copy = file->versions[0].copies;
    struct kmse_kms_context bound = {0};
    expect_ok(kmse_keyfile_context(&bound, file, 1));
    assert_false(copy->adopted);
    assert_true(kmse_kms_context_equal(&copy->context, &bound));
    kmse_kms_context_wipe(&bound);
    kmse_keyfile_free(file);
    expect_opens_to_the_key();
}

static void a_blob_that_does_not_open_makes_no_key(void **state)
{
    (void)state;
    struct kmse_import import = {.blob = &blob};
    struct kmse_kms_context reserved = {0};
    char nowhere[URI_LEN + 8];
    expect_not_made(&import, at.uri[A], NULL, KMSE_R_KMS_BLOB);
    import.blob_context = &blob_context;
    expect_not_made(&import, at.uri[B], NULL, KMSE_R_KMS_WRONG_KEY);
    /* No master key is made for it: none made now can have made the blob. */
    snprintf(nowhere, sizeof(nowhere), "%s.new", at.uri[A]);
    expect_not_made(&import, nowhere, NULL, KMSE_R_KMS_KEY_NOT_FOUND);
    assert_int_equal(access(nowhere + strlen("local:"), F_OK), -1);
    make_unreachable(B);
    expect_not_made(&import, at.uri[A], at.uri[B], KMSE_R_KMS_UNREACHABLE);
    /* A blob of another key of ours, or of another version. */
    expect_ok(kmse_kms_context_add(&reserved, KMSE_CONTEXT_KEY, NAME));
    kmse_blob_wipe(&blob);
    expect_done(kmse_kms_wrap(at.rotation.kms, at.uri[A], &reserved, &data_key,
                              &blob, &why));
    import.blob_context = &reserved;
    expect_not_made(&import, at.uri[A], NULL, KMSE_R_KEYFILE_FIELD);
    kmse_kms_context_wipe(&reserved);
}

static void a_plain_key_is_wrapped_by_all(void **state)
{
    (void)state;
    const struct kmse_import import = {.data_key = &data_key};
    expect_done(import_under(&import, at.uri[A], at.uri[B]));
    assert_memory_equal(data_key.bytes, KEY, sizeof(KEY));
    expect_opens_to_the_key();
    struct kmse_keyfile *file = read_file();
    for (size_t i = 0; i < 2; i++) {
        assert_false(file->versions[0].copies[i].adopted);
        assert_int_equal(file->versions[0].copies[i].context.count, 2);
    }
    kmse_keyfile_free(file);
}

static void one_byte_32_times_is_no_key(void **state)
{
    (void)state;
    const struct kmse_import plain = {.data_key = &data_key};
    const struct kmse_import wrapped = {.blob = &blob,
                                        .blob_context = &blob_context};
    static const uint8_t BYTES[] = {0x00, 0xFF, 'A'};
    for (size_t i = 0; i < sizeof(BYTES); i++) {
        memset(data_key.bytes, BYTES[i], KMSE_SECRET_LEN);
        expect_not_made(&plain, at.uri[A], NULL, KMSE_R_PARAMETER);
        kmse_blob_wipe(&blob);
        expect_done(kmse_kms_wrap(at.rotation.kms, at.uri[A], &blob_context,
                                  &data_key, &blob, &why));
        expect_not_made(&wrapped, at.uri[A], NULL, KMSE_R_PARAMETER);
    }
    data_key.bytes[KMSE_SECRET_LEN - 1] ^= 1;
    expect_done(import_under(&plain, at.uri[A], NULL));
}

#define STORY(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define KEY_STORY(f)                                                           \
    cmocka_unit_test_setup_teardown(f, set_up_blob, tear_down_blob)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_key_is_read_in_each_of_its_forms),
        STORY(both_alphabets_are_read_whole),
        STORY(no_other_length_is_a_key),
        STORY(no_other_character_is_a_digit),
        STORY(half_a_key_in_hex_is_not_taken_for_a_whole_one),
        STORY(standard_input_is_read_to_its_end),
        STORY(a_terminal_is_refused),
        STORY(a_blob_is_binary_or_base64),
        STORY(other_text_is_no_blob),
        STORY(a_blob_has_at_most_6144_bytes),
        KEY_STORY(a_blob_is_kept_as_it_stands),
        KEY_STORY(rewrapping_binds_an_adopted_copy),
        KEY_STORY(a_blob_that_does_not_open_makes_no_key),
        KEY_STORY(a_plain_key_is_wrapped_by_all),
        KEY_STORY(one_byte_32_times_is_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
