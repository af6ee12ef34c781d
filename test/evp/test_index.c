/* SPDX-License-Identifier: Apache-2.0 */
/* KMS-ENVELOPE-INDEX: a blind index, over one version and over all. */
#include "evp_test.h"

#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "kms_envelope/params.h"
#include "support/guard.h"

enum {
    DEFAULT_SIZE = 16,
    SHORTEST_VALUE = 4,
    LONGEST_VALUE = 32,
    VERSION_LEN = 4,
    ROOM = 512,
    LONGEST = 300,
};

static const uint8_t EMAIL[] = "anna@example.org";

static struct evp_env env;
static EVP_MAC *mac;
static EVP_MAC_CTX *ctx;
static uint8_t data[LONGEST];

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_create_key(&env, "orders");
    fill_pattern(data, sizeof(data));
    mac = EVP_MAC_fetch(env.libctx, KMSE_INDEX_NAME, NULL);
    return mac == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    EVP_MAC_free(mac);
    evp_env_close(&env);
    return 0;
}

static int new_ctx(void **state)
{
    (void)state;
    ctx = EVP_MAC_CTX_new(mac);
    return ctx == NULL;
}

static int free_ctx(void **state)
{
    (void)state;
    EVP_MAC_CTX_free(ctx);
    ERR_clear_error();
    return 0;
}

/* --- parameters --------------------------------------------------------- */

static int set_uint(const char *name, unsigned value)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(name, &value),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(ctx, params);
}

static int set_int(const char *name, int value)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(name, &value),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(ctx, params);
}

static int set_size(size_t size)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(ctx, params);
}

static unsigned get_version(char name[ENV_KEY_LEN])
{
    unsigned version = 99;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &version),
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, name,
                                         ENV_KEY_LEN),
        OSSL_PARAM_construct_end(),
    };
    EXPECT(EVP_MAC_CTX_get_params(ctx, params));
    return version;
}

/* --- a value ------------------------------------------------------------ */

static int init_named(const char *name)
{
    return EVP_MAC_init(ctx, (const unsigned char *)name,
                        name != NULL ? strlen(name) : 0, NULL);
}

static size_t finish(uint8_t *out)
{
    size_t len = 0;
    EXPECT(EVP_MAC_final(ctx, out, &len, ROOM));
    return len;
}

static size_t value_of(const char *name, const uint8_t *bytes, size_t len,
                       uint8_t *out)
{
    EXPECT(init_named(name));
    EXPECT(EVP_MAC_update(ctx, bytes, len));
    return finish(out);
}

static void equal_data_make_equal_values(void **state)
{
    (void)state;
    uint8_t first[ROOM], second[ROOM];
    char name[ENV_KEY_LEN];
    assert_int_equal(value_of(NULL, EMAIL, sizeof(EMAIL), first), DEFAULT_SIZE);
    assert_int_equal(get_version(name), 1);
    assert_string_equal(name, ENV_KEY);
    value_of(ENV_KEY, EMAIL, sizeof(EMAIL), second);
    assert_memory_equal(first, second, DEFAULT_SIZE);
    value_of(ENV_KEY, EMAIL, sizeof(EMAIL) - 1, second);
    assert_memory_not_equal(first, second, DEFAULT_SIZE);
    value_of("orders", EMAIL, sizeof(EMAIL), second);
    assert_memory_not_equal(first, second, DEFAULT_SIZE);
    assert_int_equal(get_version(name), 1);
    assert_string_equal(name, "orders");
    /* A later Init without a key keeps it. */
    value_of(NULL, EMAIL, sizeof(EMAIL), first);
    assert_memory_equal(first, second, DEFAULT_SIZE);
}

static void the_key_is_a_name_padded_or_not(void **state)
{
    (void)state;
    uint8_t wanted[ROOM], out[ROOM];
    unsigned char padded[ENV_KEY_LEN];
    size_t len = 0;
    value_of("orders", EMAIL, sizeof(EMAIL), wanted);
    evp_env_key(padded, "orders");
    EXPECT(EVP_MAC_init(ctx, padded, sizeof(padded), NULL));
    EXPECT(EVP_MAC_update(ctx, EMAIL, sizeof(EMAIL)));
    EXPECT(EVP_MAC_final(ctx, out, &len, ROOM));
    assert_memory_equal(out, wanted, len);

    char name[] = "orders";
    OSSL_PARAM by_param[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, name, 0),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM by_key[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, name, 6),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM *const both[] = {by_param, by_key};
    for (size_t i = 0; i < 2; i++) {
        EXPECT(init_named(ENV_KEY));
        EXPECT(EVP_MAC_CTX_set_params(ctx, both[i]));
        EXPECT(EVP_MAC_update(ctx, EMAIL, sizeof(EMAIL)));
        finish(out);
        assert_memory_equal(out, wanted, DEFAULT_SIZE);
        EXPECT(EVP_MAC_init(ctx, (const unsigned char *)ENV_KEY, 6, both[i]));
        EXPECT(EVP_MAC_update(ctx, EMAIL, sizeof(EMAIL)));
        finish(out);
        assert_memory_equal(out, wanted, DEFAULT_SIZE);
    }
}

static void a_secret_key_is_refused_and_not_shown(void **state)
{
    (void)state;
    unsigned char random[ENV_KEY_LEN + 1];
    char errors[ENV_ERRORS_LEN];
    fill_pattern(random, sizeof(random));
    random[0] |= 0x80; /* no name begins so */
    for (size_t len = 1; len <= sizeof(random); len++)
        REFUSED(EVP_MAC_init(ctx, random, len, NULL), "-macopt key:NAME");
    assert_false(EVP_MAC_init(ctx, (const unsigned char *)"Orders!", 7, NULL));
    evp_errors(errors);
    assert_null(strstr(errors, "Orders"));
    EXPECT(init_named("nobody"));
    REFUSED(EVP_MAC_update(ctx, EMAIL, 1), "nobody");
}

static void data_come_in_any_pieces(void **state)
{
    (void)state;
    uint8_t wanted[ROOM], out[ROOM];
    for (size_t len = 0; len <= LONGEST; len += 50) {
        value_of(ENV_KEY, data, len, wanted);
        for (size_t piece = 1; piece <= 67; piece += 11) {
            EXPECT(init_named(NULL));
            for (size_t at = 0; at < len; at += piece) {
                size_t left = len - at;
                EXPECT(EVP_MAC_update(ctx, data + at,
                                      left < piece ? left : piece));
            }
            assert_int_equal(finish(out), DEFAULT_SIZE);
            assert_memory_equal(out, wanted, DEFAULT_SIZE);
        }
    }
}

static void a_shorter_value_is_the_begin_of_a_longer_one(void **state)
{
    (void)state;
    uint8_t longest[ROOM], out[ROOM];
    EXPECT(set_size(LONGEST_VALUE));
    assert_int_equal(value_of(ENV_KEY, EMAIL, sizeof(EMAIL), longest),
                     LONGEST_VALUE);
    for (size_t size = SHORTEST_VALUE; size <= LONGEST_VALUE; size++) {
        EXPECT(set_size(size));
        assert_int_equal(EVP_MAC_CTX_get_mac_size(ctx), size);
        assert_int_equal(value_of(ENV_KEY, EMAIL, sizeof(EMAIL), out), size);
        assert_memory_equal(out, longest, size);
    }
    static const size_t BAD[] = {0, 1, SHORTEST_VALUE - 1, LONGEST_VALUE + 1,
                                 1000};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        REFUSED(set_size(BAD[i]), "4 to 32 bytes");
}

static void the_output_is_as_long_as_it_says(void **state)
{
    (void)state;
    struct guard guard;
    size_t len = 0;
    guard_open(&guard, ROOM);
    EXPECT(init_named(ENV_KEY));
    EXPECT(EVP_MAC_update(ctx, EMAIL, sizeof(EMAIL)));
    EXPECT(EVP_MAC_final(ctx, NULL, &len, 0));
    assert_int_equal(len, DEFAULT_SIZE);
    EXPECT(EVP_MAC_final(ctx, guard_last(&guard, len), &len, len));
    assert_int_equal(len, DEFAULT_SIZE);
    EXPECT(init_named(ENV_KEY));
    assert_false(EVP_MAC_final(ctx, guard_last(&guard, DEFAULT_SIZE - 1), &len,
                               DEFAULT_SIZE - 1));
    guard_close(&guard);
}

/* --- order of calls ----------------------------------------------------- */

static void calls_out_of_order_are_refused(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    size_t len = 0;
    REFUSED(EVP_MAC_update(ctx, EMAIL, 1), "not initialised");
    value_of(ENV_KEY, EMAIL, 1, out);
    REFUSED(EVP_MAC_update(ctx, EMAIL, 1), "complete");
    value_of(ENV_KEY, EMAIL, 1, out);
    REFUSED(EVP_MAC_final(ctx, out, &len, ROOM), "complete");
    EXPECT(init_named(ENV_KEY));
    EXPECT(EVP_MAC_update(ctx, EMAIL, 1));
    REFUSED(set_size(8), "within a message");
    REFUSED(set_uint(KMSE_PARAM_KEY_VERSION, 1), "within a message");
    REFUSED(set_int(KMSE_PARAM_ALL_VERSIONS, 1), "within a message");
    EXPECT(init_named("nobody"));
    REFUSED(EVP_MAC_update(ctx, EMAIL, 1), "nobody");
    REFUSED(EVP_MAC_final(ctx, out, &len, ROOM), "an earlier call failed");
}

static void bad_parameters_are_refused(void **state)
{
    (void)state;
    REFUSED(set_int(KMSE_PARAM_ALL_VERSIONS, 2), "0 or 1");
    REFUSED(set_uint(KMSE_PARAM_KEY_VERSION, 1U << 24), "key-version");
    REFUSED(set_uint(OSSL_MAC_PARAM_KEY, 1), "octet string");
    EXPECT(set_int(KMSE_PARAM_ALL_VERSIONS, 1));
    EXPECT(set_uint(KMSE_PARAM_KEY_VERSION, 1));
    EXPECT(init_named(ENV_KEY));
    REFUSED(EVP_MAC_update(ctx, EMAIL, 1), "not both");
}

static void a_copy_goes_on_by_itself(void **state)
{
    (void)state;
    uint8_t wanted[ROOM], out[ROOM];
    size_t len = 0;
    value_of(ENV_KEY, EMAIL, sizeof(EMAIL), wanted);
    for (size_t at = 0; at <= sizeof(EMAIL); at++) {
        EXPECT(init_named(ENV_KEY));
        EXPECT(EVP_MAC_update(ctx, EMAIL, at));
        EVP_MAC_CTX *copy = EVP_MAC_CTX_dup(ctx);
        assert_non_null(copy);
        EXPECT(EVP_MAC_update(ctx, (const uint8_t *)"other", 5));
        EXPECT(EVP_MAC_update(copy, EMAIL + at, sizeof(EMAIL) - at));
        EXPECT(EVP_MAC_final(copy, out, &len, ROOM));
        assert_memory_equal(out, wanted, DEFAULT_SIZE);
        EVP_MAC_CTX_free(copy);
    }
}

/* --- versions ----------------------------------------------------------- */

static size_t value_of_version(unsigned version, uint8_t *out)
{
    EXPECT(set_uint(KMSE_PARAM_KEY_VERSION, version));
    size_t len = value_of(ENV_KEY, EMAIL, sizeof(EMAIL), out);
    EXPECT(set_uint(KMSE_PARAM_KEY_VERSION, 0));
    return len;
}

/* version || value, in order, of versions 1 to count. */
static void expect_all_versions(unsigned count, size_t size)
{
    uint8_t all[ROOM], one[ROOM];
    size_t len = 0, entry_len = VERSION_LEN + size;
    EXPECT(set_size(size));
    EXPECT(set_int(KMSE_PARAM_ALL_VERSIONS, 1));
    EXPECT(init_named(ENV_KEY));
    assert_int_equal(EVP_MAC_CTX_get_mac_size(ctx), count * entry_len);
    EXPECT(EVP_MAC_update(ctx, EMAIL, 5));
    EXPECT(EVP_MAC_update(ctx, EMAIL + 5, sizeof(EMAIL) - 5));
    EXPECT(EVP_MAC_final(ctx, NULL, &len, 0));
    assert_int_equal(len, count * entry_len);
    EXPECT(EVP_MAC_final(ctx, all, &len, len));
    assert_int_equal(len, count * entry_len);
    EXPECT(set_int(KMSE_PARAM_ALL_VERSIONS, 0));
    for (unsigned version = 1; version <= count; version++) {
        const uint8_t *entry = all + (version - 1) * entry_len;
        const uint8_t number[] = {0, 0, 0, (uint8_t)version};
        assert_memory_equal(entry, number, VERSION_LEN);
        assert_int_equal(value_of_version(version, one), size);
        assert_memory_equal(entry + VERSION_LEN, one, size);
    }
}

static void use_fresh_library(EVP_MAC **fresh, OSSL_LIB_CTX **libctx)
{
    *libctx = evp_env_load(&env);
    *fresh = EVP_MAC_fetch(*libctx, KMSE_INDEX_NAME, NULL);
    EVP_MAC_CTX_free(ctx);
    ctx = EVP_MAC_CTX_new(*fresh);
    assert_non_null(ctx);
}

/* From here on there are versions 2 and 3. */
static void all_versions_give_what_rows_of_each_have(void **state)
{
    (void)state;
    uint8_t before[ROOM], now[ROOM];
    char name[ENV_KEY_LEN];
    EVP_MAC *fresh = NULL;
    OSSL_LIB_CTX *libctx = NULL;
    value_of(ENV_KEY, EMAIL, sizeof(EMAIL), before);
    expect_all_versions(1, DEFAULT_SIZE);
    evp_env_rotate(&env, ENV_KEY);
    evp_env_rotate(&env, ENV_KEY);
    use_fresh_library(&fresh, &libctx);
    value_of(ENV_KEY, EMAIL, sizeof(EMAIL), now);
    assert_int_equal(get_version(name), 3);
    assert_memory_not_equal(before, now, DEFAULT_SIZE);
    value_of_version(1, now);
    assert_memory_equal(before, now, DEFAULT_SIZE);
    assert_int_equal(get_version(name), 1);
    expect_all_versions(3, SHORTEST_VALUE);
    expect_all_versions(3, DEFAULT_SIZE);
    expect_all_versions(3, LONGEST_VALUE);

    EXPECT(set_uint(KMSE_PARAM_KEY_VERSION, 4));
    EXPECT(init_named(ENV_KEY));
    REFUSED(EVP_MAC_update(ctx, EMAIL, 1), "has no version 4");
    EVP_MAC_CTX_free(ctx);
    ctx = NULL;
    EVP_MAC_free(fresh);
    OSSL_LIB_CTX_free(libctx);
}

/* --- limits ------------------------------------------------------------- */

static void a_limit_stops_what_is_stored_not_what_is_looked_for(void **state)
{
    (void)state;
    struct evp_env limited;
    uint8_t out[ROOM];
    size_t len = 0;
    evp_env_open(&limited, "max-messages = 4\n");
    evp_env_rotate(&limited, ENV_KEY);
    EVP_MAC *fresh = EVP_MAC_fetch(limited.libctx, KMSE_INDEX_NAME, NULL);
    EVP_MAC_CTX_free(ctx);
    ctx = EVP_MAC_CTX_new(fresh);
    for (int i = 0; i < 3; i++)
        value_of(ENV_KEY, EMAIL, sizeof(EMAIL), out);
    /* A copy may be stored as well. */
    EXPECT(init_named(NULL));
    EXPECT(EVP_MAC_update(ctx, EMAIL, 1));
    assert_null(EVP_MAC_CTX_dup(ctx));
    ERR_clear_error();
    EXPECT(EVP_MAC_final(ctx, out, &len, ROOM));
    EXPECT(init_named(NULL));
    REFUSED(EVP_MAC_update(ctx, EMAIL, 1), "max-messages 4");
    for (int i = 0; i < 5; i++)
        value_of_version(1, out);
    EXPECT(set_int(KMSE_PARAM_ALL_VERSIONS, 1));
    for (int i = 0; i < 5; i++)
        assert_int_equal(value_of(ENV_KEY, EMAIL, sizeof(EMAIL), out),
                         2 * (VERSION_LEN + DEFAULT_SIZE));
    EVP_MAC_CTX_free(ctx);
    ctx = NULL;
    EVP_MAC_free(fresh);
    evp_env_close(&limited);
}

static void bytes_count_too(void **state)
{
    (void)state;
    struct evp_env limited;
    evp_env_open(&limited, "max-bytes = 40\n");
    EVP_MAC *fresh = EVP_MAC_fetch(limited.libctx, KMSE_INDEX_NAME, NULL);
    EVP_MAC_CTX_free(ctx);
    ctx = EVP_MAC_CTX_new(fresh);
    EXPECT(init_named(ENV_KEY));
    EXPECT(EVP_MAC_update(ctx, data, 20));
    EXPECT(EVP_MAC_update(ctx, data, 20));
    REFUSED(EVP_MAC_update(ctx, data, 1), "max-bytes 40");
    EVP_MAC_CTX_free(ctx);
    ctx = NULL;
    EVP_MAC_free(fresh);
    evp_env_close(&limited);
}

#define INDEX_TEST(name)                                                       \
    cmocka_unit_test_setup_teardown(name, new_ctx, free_ctx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INDEX_TEST(equal_data_make_equal_values),
        INDEX_TEST(the_key_is_a_name_padded_or_not),
        INDEX_TEST(a_secret_key_is_refused_and_not_shown),
        INDEX_TEST(data_come_in_any_pieces),
        INDEX_TEST(a_shorter_value_is_the_begin_of_a_longer_one),
        INDEX_TEST(the_output_is_as_long_as_it_says),
        INDEX_TEST(calls_out_of_order_are_refused),
        INDEX_TEST(bad_parameters_are_refused),
        INDEX_TEST(a_copy_goes_on_by_itself),
        INDEX_TEST(a_limit_stops_what_is_stored_not_what_is_looked_for),
        INDEX_TEST(bytes_count_too),
        INDEX_TEST(all_versions_give_what_rows_of_each_have),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
