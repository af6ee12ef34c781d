/* SPDX-License-Identifier: Apache-2.0 */
/* KMS-ENVELOPE-STREAM through libcrypto: as openssl enc uses it, and others. */
#include "evp_test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/conf.h>
#include <openssl/params.h>

#include "kms_envelope/params.h"
#include "support/guard.h"

enum { FRAME = 4096, FIRST = 4068, NEXT = 4084 };
enum { HEADER = 16, TAG = 12, BLOCK = 32 };
enum {
    PIECE_3 = 4096, /* of BIO_f_cipher, and so of openssl enc, in 3.x */
    PIECE_4 = 8192, /* and in 4.0 */
    LONGEST = 1 << 20,
    ROOM = LONGEST + LONGEST / 128,
};

static const size_t LENGTHS[] = {0,
                                 1,
                                 FIRST - 1,
                                 FIRST,
                                 FIRST + 1,
                                 FRAME,
                                 FRAME + 1,
                                 FIRST + NEXT - 1,
                                 FIRST + NEXT,
                                 FIRST + NEXT + 1,
                                 8191,
                                 8192,
                                 8193,
                                 FIRST + 2 * NEXT,
                                 100000,
                                 LONGEST};
enum { LENGTH_COUNT = sizeof(LENGTHS) / sizeof(LENGTHS[0]) };
static const struct evp_text NO_AAD = {NULL, 0};
static const struct evp_text AAD = {(const uint8_t *)"backup.tar", 10};
static const struct evp_text OTHER = {(const uint8_t *)"backup.zip", 10};

static struct evp_env env;
static EVP_CIPHER *cipher;
static EVP_CIPHER_CTX *ctx;
static struct guard guard;
static uint8_t plaintext[LONGEST], message[ROOM], again[ROOM];

static int set_up(void **state)
{
    (void)state;
    evp_env_open(&env, "");
    evp_env_create_key(&env, "orders");
    cipher = EVP_CIPHER_fetch(env.libctx, "KMS-ENVELOPE-STREAM", NULL);
    ctx = EVP_CIPHER_CTX_new();
    guard_open(&guard, ROOM);
    fill_pattern(plaintext, sizeof(plaintext));
    return cipher != NULL && ctx != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    guard_close(&guard);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    evp_env_close(&env);
    return 0;
}

/* --- pieces -------------------------------------------------------------- */

/* With NULL for the cipher, or libcrypto makes a new context of ours. */
static void begin(int encrypt, struct evp_text aad)
{
    bool other = EVP_CIPHER_CTX_get0_cipher(ctx) != cipher;
    EVP_CIPHER *set = other ? cipher : NULL;
    int len = 0;
    EXPECT(EVP_CipherInit_ex2(ctx, set, NULL, NULL, encrypt, NULL));
    if (aad.bytes != NULL)
        EXPECT(EVP_CipherUpdate(ctx, NULL, &len, aad.bytes, (int)aad.len));
}

/*
 * Update piece by piece, each into memory that ends where EVP's own buffers
 * may end. *out_len is what came out before a failure. 1, or 0.
 */
static int updates(uint8_t *out, size_t *out_len, struct evp_text in,
                   size_t piece)
{
    *out_len = 0;
    for (size_t at = 0; at < in.len;) {
        size_t in_len = piece < in.len - at ? piece : in.len - at;
        uint8_t *block = guard_last(&guard, in_len + BLOCK);
        int len = 0;
        if (!EVP_CipherUpdate(ctx, block, &len, in.bytes + at, (int)in_len))
            return 0;
        memcpy(out + *out_len, block, (size_t)len);
        *out_len += (size_t)len;
        at += in_len;
    }
    return 1;
}

static int final(uint8_t *out, size_t *out_len)
{
    int len = 0;
    uint8_t *block = guard_last(&guard, BLOCK);
    int ok = EVP_CipherFinal_ex(ctx, block, &len);
    memcpy(out + *out_len, block, ok ? (size_t)len : 0);
    *out_len += ok ? (size_t)len : 0;
    return ok;
}

static size_t seal(size_t len, size_t piece, struct evp_text aad, uint8_t *out)
{
    size_t out_len = 0;
    begin(1, aad);
    EXPECT(updates(out, &out_len, (struct evp_text){plaintext, len}, piece));
    EXPECT(final(out, &out_len));
    return out_len;
}

static int open_len(const uint8_t *in, size_t in_len, size_t piece,
                    struct evp_text aad, size_t *out_len)
{
    begin(0, aad);
    return updates(again, out_len, (struct evp_text){in, in_len}, piece)
           && final(again, out_len);
}

static void expect_opens(size_t message_len, size_t piece, struct evp_text aad,
                         size_t len)
{
    size_t out_len = 0;
    EXPECT(open_len(message, message_len, piece, aad, &out_len));
    assert_int_equal(out_len, len);
    assert_memory_equal(again, plaintext, len);
}

static void what_3_x_writes_4_0_opens_and_the_other_way_round(void **state)
{
    (void)state;
    static const size_t WRITERS[] = {PIECE_3, PIECE_4, 1000, 8191};
    static const size_t READERS[] = {PIECE_3, PIECE_4, 4 * FRAME, ROOM};
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        struct evp_text aad = i % 2 == 0 ? AAD : NO_AAD;
        for (size_t w = 0; w < 4; w++) {
            size_t len = seal(LENGTHS[i], WRITERS[w], aad, message);
            for (size_t r = 0; r < 4; r++)
                expect_opens(len, READERS[r], aad, LENGTHS[i]);
        }
    }
}

/* A pipe of BIOs, as openssl enc has one. */
static size_t through_bio(int encrypt, const uint8_t *in, size_t in_len,
                          size_t piece, uint8_t *out)
{
    BIO *filter = BIO_new(BIO_f_cipher()), *sink = BIO_new(BIO_s_mem());
    unsigned char key[ENV_KEY_LEN];
    evp_env_key(key, ENV_KEY);
    EXPECT(BIO_set_cipher(filter, cipher, key, NULL, encrypt));
    BIO_push(filter, sink);
    for (size_t at = 0; at < in_len; at += piece) {
        int len = (int)(piece < in_len - at ? piece : in_len - at);
        assert_int_equal(BIO_write(filter, in + at, len), len);
    }
    EXPECT(BIO_flush(filter));
    int out_len = BIO_read(sink, out, ROOM);
    BIO_free_all(filter);
    return out_len > 0 ? (size_t)out_len : 0;
}

static void it_goes_through_bio_f_cipher(void **state)
{
    (void)state;
    static const size_t PIECES[] = {512, 8192, 16384, ROOM};
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        for (size_t j = 0; j < 4; j++) {
            size_t len =
                through_bio(1, plaintext, LENGTHS[i], PIECES[j], message);
            expect_opens(len, PIECE_4, NO_AAD, LENGTHS[i]);
            size_t piece = PIECES[j] < FRAME ? FRAME : PIECES[j];
            assert_int_equal(through_bio(0, message, len, piece, again),
                             LENGTHS[i]);
            assert_memory_equal(again, plaintext, LENGTHS[i]);
        }
    }
}

static void every_split_of_a_short_stream(void **state)
{
    (void)state;
    enum { SHORT = 64 };
    for (size_t len = 0; len <= SHORT; len++) {
        size_t message_len = seal(len, 1 + len % 7, NO_AAD, message);
        assert_int_equal(message_len, len + HEADER + TAG);
        for (size_t piece = 1; piece <= message_len; piece++)
            expect_opens(message_len, piece, NO_AAD, len);
        for (size_t at = 1; at < message_len; at++) {
            size_t a = 0, b = 0;
            begin(0, NO_AAD);
            EXPECT(updates(again, &a, (struct evp_text){message, at}, at));
            EXPECT(updates(again + a, &b,
                           (struct evp_text){message + at, message_len - at},
                           ROOM));
            a += b;
            EXPECT(final(again, &a));
            assert_int_equal(a, len);
            assert_memory_equal(again, plaintext, len);
        }
    }
}

static void uneven_pieces_fail_and_say_what_to_do(void **state)
{
    (void)state;
    size_t out_len = 0, len = seal(LONGEST, PIECE_4, NO_AAD, message);
    REFUSED(open_len(message, len, 1000, NO_AAD, &out_len), "multiple of 4096");
    assert_int_equal(out_len, 0);
    REFUSED(open_len(message, len, 6000, NO_AAD, &out_len), "multiple of 4096");
    assert_int_equal(out_len, FIRST);
    assert_memory_equal(again, plaintext, out_len);
    begin(1, NO_AAD);
    REFUSED(updates(again, &out_len, (struct evp_text){plaintext, 8193}, 8193),
            "8193 bytes at once: at most 8192");
}

/* --- whole messages in one call ------------------------------------------ */

static void one_call_opens_any_length_and_makes_one_frame(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        size_t len = LENGTHS[i];
        uint8_t *block = guard_last(&guard, len + BLOCK);
        begin(1, AAD);
        int sealed = EVP_Cipher(ctx, block, plaintext, (unsigned)len);
        if (len >= FIRST) {
            REFUSED(sealed, "at most 4067");
        } else {
            assert_int_equal(sealed, len + HEADER + TAG);
            memcpy(message, block, (size_t)sealed);
            expect_opens((size_t)sealed, PIECE_3, AAD, len);
        }
        size_t message_len = seal(len, PIECE_3, AAD, message);
        block = guard_last(&guard, len);
        begin(0, AAD);
        assert_int_equal(EVP_Cipher(ctx, block, message, (unsigned)message_len),
                         len);
        assert_memory_equal(block, plaintext, len);
    }
}

static void one_call_gives_all_or_nothing(void **state)
{
    (void)state;
    size_t len = seal(3 * FRAME, PIECE_3, NO_AAD, message);
    memset(again, 0, len);
    for (size_t at = HEADER; at < len; at += 997) {
        message[at] ^= 1;
        begin(0, NO_AAD);
        REFUSED(EVP_Cipher(ctx, again, message, (unsigned)len),
                "was changed: key emails, version 1, frame ");
        message[at] ^= 1;
        for (size_t i = 0; i < len; i++)
            assert_int_equal(again[i], 0);
    }
    begin(0, NO_AAD);
    REFUSED(EVP_Cipher(ctx, again, message, 2 * FRAME), "truncated");
    assert_int_equal(again[0], 0);
    begin(0, NO_AAD);
    REFUSED(EVP_Cipher(ctx, again, message, HEADER - 1), "truncated");
}

/* PHP's way: one buffer, a block longer than the plaintext, for both calls. */
static int php_way(void)
{
    char path[ENV_PATH_LEN], errors[ENV_ERRORS_LEN];
    CONF_modules_load_file_ex(NULL, evp_env_conf(path, &env), NULL, 0);
    const EVP_CIPHER *named = EVP_get_cipherbyname("kms-envelope-stream");
    int ok = named != NULL;
    for (size_t len = 0; len <= FRAME && ok; len++) {
        uint8_t *out = guard_last(&guard, len + BLOCK);
        struct evp_text in = {plaintext, len};
        int sealed = evp_seal(ctx, named, NULL, NO_AAD, in, out);
        if (len >= FIRST) {
            ok = sealed < 0
                 && strstr(evp_errors(errors), "at most 4067, then") != NULL;
            continue;
        }
        ok = sealed == (int)(len + HEADER + TAG)
             && evp_open(ctx, named, NULL, NO_AAD,
                         (struct evp_text){out, (size_t)sealed}, again)
                    == (int)len
             && memcmp(again, plaintext, len) == 0;
    }
    return ok;
}

static void programs_with_one_buffer_are_not_overrun(void **state)
{
    (void)state;
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(php_way() ? EXIT_SUCCESS : EXIT_FAILURE);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void in_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH_COUNT; i++) {
        size_t len = LENGTHS[i] <= PIECE_4 ? LENGTHS[i] : PIECE_4;
        int a = 0, b = 0;
        memcpy(message, plaintext, len);
        begin(1, NO_AAD);
        EXPECT(EVP_CipherUpdate(ctx, message, &a, message, (int)len));
        EXPECT(EVP_CipherFinal_ex(ctx, message + a, &b));
        size_t message_len = (size_t)(a + b);
        begin(0, NO_AAD);
        EXPECT(EVP_CipherUpdate(ctx, message, &a, message, (int)message_len));
        EXPECT(EVP_CipherFinal_ex(ctx, message + a, &b));
        assert_int_equal(a + b, len);
        assert_memory_equal(message, plaintext, len);
    }
}

/* --- changed streams ----------------------------------------------------- */

/* Of the frames before the bad one all, and no byte more. */
static void expect_frames(const uint8_t *in, size_t in_len, size_t frames,
                          const char *words)
{
    size_t out_len = 0;
    int len = 0;
    REFUSED(open_len(in, in_len, PIECE_3, NO_AAD, &out_len), words);
    assert_int_equal(out_len, frames == 0 ? 0 : FIRST + (frames - 1) * NEXT);
    assert_memory_equal(again, plaintext, out_len);
    REFUSED(EVP_CipherUpdate(ctx, again, &len, in, FRAME), "earlier call");
    REFUSED(EVP_CipherFinal_ex(ctx, again, &len), "earlier call");
}

static void truncation_is_refused(void **state)
{
    (void)state;
    enum { FRAMES = 5 };
    size_t len =
        seal(FIRST + (FRAMES - 1) * NEXT + 100, PIECE_3, NO_AAD, message);
    for (size_t frames = 1; frames <= FRAMES; frames++) {
        expect_frames(message, frames * FRAME, frames, "truncated");
        expect_frames(message, frames * FRAME + TAG - 1, frames, "truncated");
        expect_frames(message, frames * FRAME + TAG, frames, "was changed");
        expect_frames(message, frames * FRAME - 1, frames - 1, "was changed");
    }
    expect_frames(message, len - 1, FRAMES, "was changed");
    expect_frames(message, HEADER - 1, 0, "truncated");
    expect_frames(message, 0, 0, "truncated");
}

static void other_orders_and_other_streams_are_refused(void **state)
{
    (void)state;
    static uint8_t other[ROOM], mixed[ROOM];
    size_t text_len = FIRST + 2 * NEXT + 100;
    size_t len = seal(text_len, PIECE_3, NO_AAD, message);
    assert_int_equal(seal(text_len, PIECE_4, NO_AAD, other), len);
    assert_memory_not_equal(other + 4, message + 4, HEADER - 4);

    for (size_t frame = 1; frame <= 3; frame++) { /* 3: the last one */
        size_t frame_len = frame < 3 ? FRAME : len - 3 * FRAME;
        memcpy(mixed, message, len);
        memcpy(mixed + frame * FRAME, other + frame * FRAME, frame_len);
        expect_frames(mixed, len, frame, "was changed");
    }
    memcpy(mixed, message, len);
    memcpy(mixed + FRAME, message + 2 * FRAME, FRAME);
    memcpy(mixed + 2 * FRAME, message + FRAME, FRAME);
    expect_frames(mixed, len, 1, "was changed");
    memcpy(mixed + FRAME, message, len); /* the first one twice */
    expect_frames(mixed, len + FRAME, 1, "was changed");
    memcpy(mixed, message, HEADER); /* its header on the other's frames */
    memcpy(mixed + HEADER, other + HEADER, len - HEADER);
    expect_frames(mixed, len, 0, "was changed");
    memcpy(mixed, message, len);
    memcpy(mixed + len, other, len);
    expect_frames(mixed, 2 * len, 3, "was changed");
}

static void a_flipped_bit_is_refused(void **state)
{
    (void)state;
    size_t len = seal(FIRST + NEXT + 50, PIECE_3, NO_AAD, message);
    for (size_t at = 3; at < len; at += at < HEADER ? 1 : 31) {
        if (at == 3) /* a version that is not there */
            continue;
        message[at] ^= (uint8_t)(1U << at % 8);
        expect_frames(message, len, at / FRAME, "was changed");
        message[at] ^= (uint8_t)(1U << at % 8);
    }
    message[3] ^= 2;
    expect_frames(message, len, 0, "no such version");
}

static void bytes_after_the_end_are_refused(void **state)
{
    (void)state;
    size_t len = seal(100, PIECE_3, NO_AAD, message), out_len = 0;
    int more = 0;
    begin(0, NO_AAD);
    EXPECT(updates(again, &out_len, (struct evp_text){message, len}, ROOM));
    assert_int_equal(out_len, 100);
    REFUSED(EVP_DecryptUpdate(ctx, again, &more, message, 1),
            "bytes after the end");
}

/* --- keys, copies, formats ------------------------------------------------ */

static void another_key_and_another_aad_open_nothing(void **state)
{
    (void)state;
    unsigned char key[ENV_KEY_LEN];
    size_t len = seal(2 * FRAME, PIECE_3, AAD, message), out_len = 0;
    REFUSED(open_len(message, len, PIECE_3, OTHER, &out_len), "frame 0");
    assert_int_equal(out_len, 0);
    evp_env_key(key, "orders");
    EXPECT(EVP_DecryptInit_ex2(ctx, cipher, key, NULL, NULL));
    REFUSED(updates(again, &out_len, (struct evp_text){message, len}, PIECE_3),
            "key orders, version 1, frame 0");
    assert_int_equal(out_len, 0);
    evp_env_key(key, ""); /* or it stays */
    EXPECT(EVP_DecryptInit_ex2(ctx, cipher, key, NULL, NULL));
}

static void the_ciphers_name_each_other(void **state)
{
    (void)state;
    static const uint8_t TEXT[100] = {1};
    const struct evp_text text = {TEXT, sizeof(TEXT)};
    int len = evp_seal(ctx, env.cipher, NULL, NO_AAD, text, message);
    EXPECT(len);
    REFUSED(evp_open(ctx, cipher, NULL, NO_AAD,
                     (struct evp_text){message, (size_t)len}, again),
            "it begins with 0x4B: decrypt it with the cipher KMS-ENVELOPE");
    len = evp_seal(ctx, cipher, NULL, NO_AAD, text, message);
    EXPECT(len);
    REFUSED(
        evp_open(ctx, env.cipher, NULL, NO_AAD,
                 (struct evp_text){message, (size_t)len}, again),
        "it begins with 0xD3: decrypt it with the cipher KMS-ENVELOPE-STREAM");
    message[0] = 0x4B;
    REFUSED(evp_open(ctx, env.cipher, NULL, NO_AAD,
                     (struct evp_text){message, (size_t)len}, again),
            "was changed");
}

static void an_encrypting_context_is_not_copied(void **state)
{
    (void)state;
    EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();
    size_t out_len = 0;
    begin(1, NO_AAD);
    EXPECT(EVP_CIPHER_CTX_copy(copy, ctx)); /* the salt is not drawn */
    EXPECT(updates(message, &out_len, (struct evp_text){plaintext, 10}, 10));
    REFUSED(EVP_CIPHER_CTX_copy(copy, ctx), "cannot be copied");
    EVP_CIPHER_CTX_free(copy);
}

static void a_decrypting_context_is_copied(void **state)
{
    (void)state;
    static uint8_t out[ROOM];
    size_t text_len = FIRST + NEXT + 60;
    size_t len = seal(text_len, PIECE_3, AAD, message);
    static const size_t PLACES[] = {5, HEADER, FRAME, 2 * FRAME};
    for (size_t i = 0; i < 4; i++) {
        EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new(), *first = ctx;
        size_t at = PLACES[i], a = 0, b = 0;
        begin(0, AAD);
        EXPECT(updates(out, &a, (struct evp_text){message, at}, at));
        EXPECT(EVP_CIPHER_CTX_copy(copy, ctx));
        for (int j = 0; j < 2; j++) {
            b = 0;
            EXPECT(updates(again, &b, (struct evp_text){message + at, len - at},
                           ROOM));
            EXPECT(final(again, &b));
            assert_int_equal(a + b, text_len);
            assert_memory_equal(again, plaintext + a, b);
            begin(0, OTHER); /* not even the AAD is shared */
            ctx = copy;
        }
        ctx = first;
        EVP_CIPHER_CTX_free(copy);
    }
}

static void name_and_version_are_read_after_a_stream(void **state)
{
    (void)state;
    char name[ENV_KEY_LEN] = "";
    unsigned version = 0, wanted = 7;
    OSSL_PARAM get[] = {
        OSSL_PARAM_construct_utf8_string(KMSE_PARAM_KEY_NAME, name,
                                         sizeof(name)),
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM set[] = {
        OSSL_PARAM_construct_uint(KMSE_PARAM_KEY_VERSION, &wanted),
        OSSL_PARAM_construct_end(),
    };
    size_t len = seal(FRAME, PIECE_3, NO_AAD, message), out_len = 0;
    EXPECT(EVP_CIPHER_CTX_get_params(ctx, get));
    assert_int_equal(version, 1);
    assert_string_equal(name, ENV_KEY);
    EXPECT(EVP_DecryptInit_ex2(ctx, cipher, NULL, NULL, set));
    REFUSED(updates(again, &out_len, (struct evp_text){message, len}, PIECE_3),
            "version is 1, and key-version asks for 7");
    wanted = 0;
    EXPECT(EVP_CIPHER_CTX_set_params(ctx, set));
}

static void old_streams_open_after_a_rotation(void **state)
{
    (void)state;
    size_t len = seal(FRAME, PIECE_3, NO_AAD, message);
    evp_env_rotate(&env, ENV_KEY);
    expect_opens(len, PIECE_4, NO_AAD, FRAME);
    OSSL_LIB_CTX *fresh = evp_env_load(&env);
    EVP_CIPHER *newest = EVP_CIPHER_fetch(fresh, "KMS-ENVELOPE-STREAM", NULL);
    int sealed = evp_seal(ctx, newest, NULL, NO_AAD,
                          (struct evp_text){plaintext, 10}, again);
    assert_int_equal(sealed, 10 + HEADER + TAG);
    assert_memory_equal(again,
                        "\xD3"
                        "\0\0\2",
                        4);
    EVP_CIPHER_CTX_reset(ctx);
    EVP_CIPHER_free(newest);
    OSSL_LIB_CTX_free(fresh);
}

static void a_forked_child_does_not_go_on(void **state)
{
    (void)state;
    size_t out_len = 0;
    int status = -1, len = 0;
    char errors[ENV_ERRORS_LEN];
    const EVP_CIPHER *const both[] = {env.cipher, cipher};
    for (size_t i = 0; i < 2; i++) {
        EXPECT(EVP_EncryptInit_ex2(ctx, both[i], NULL, NULL, NULL));
        EXPECT(EVP_EncryptUpdate(ctx, message, &len, plaintext, 100));
        pid_t pid = fork();
        if (pid == 0) {
            int went_on = EVP_EncryptUpdate(ctx, message, &len, plaintext, 1);
            _exit(!went_on && strstr(evp_errors(errors), "forked child") != NULL
                      ? EXIT_SUCCESS
                      : EXIT_FAILURE);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        EXPECT(EVP_EncryptUpdate(ctx, message, &len, plaintext, 1));
        EXPECT(final(message, &out_len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_3_x_writes_4_0_opens_and_the_other_way_round),
        cmocka_unit_test(it_goes_through_bio_f_cipher),
        cmocka_unit_test(every_split_of_a_short_stream),
        cmocka_unit_test(uneven_pieces_fail_and_say_what_to_do),
        cmocka_unit_test(one_call_opens_any_length_and_makes_one_frame),
        cmocka_unit_test(one_call_gives_all_or_nothing),
        cmocka_unit_test(programs_with_one_buffer_are_not_overrun),
        cmocka_unit_test(in_place),
        cmocka_unit_test(truncation_is_refused),
        cmocka_unit_test(other_orders_and_other_streams_are_refused),
        cmocka_unit_test(a_flipped_bit_is_refused),
        cmocka_unit_test(bytes_after_the_end_are_refused),
        cmocka_unit_test(another_key_and_another_aad_open_nothing),
        cmocka_unit_test(the_ciphers_name_each_other),
        cmocka_unit_test(an_encrypting_context_is_not_copied),
        cmocka_unit_test(a_decrypting_context_is_copied),
        cmocka_unit_test(name_and_version_are_read_after_a_stream),
        cmocka_unit_test(old_streams_open_after_a_rotation),
        cmocka_unit_test(a_forked_child_does_not_go_on),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
