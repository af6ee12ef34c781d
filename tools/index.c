/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope index: values of a blind index, for SQL by hand and scripts. */
#include "tools/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/bytes.h"
#include "envelope/index.h"
#include "tools/common.h"

/* What makes the values of one version. */
struct maker {
    uint32_t version;
    struct kmse_hmac *hmac;
};

struct makers {
    struct maker *list;
    size_t count;
};

static void makers_wipe(struct makers *makers)
{
    for (size_t i = 0; i < makers->count; i++)
        kmse_hmac_free(makers->list[i].hmac);
    free(makers->list);
    *makers = (struct makers){0};
}

/* --- the key ------------------------------------------------------------ */

static kmse_st add_maker(struct makers *makers, const struct kmse_rotation *r,
                         const struct kmse_keyfile *file,
                         const struct kmse_version *version,
                         struct kmse_why *why)
{
    struct kmse_secret data_key = {0};
    struct maker *maker = &makers->list[makers->count];
    uint8_t key[KMSE_SECRET_LEN];
    KMSE_TRY(
        kmse_keyfile_unwrap(&data_key, r->kms, r->crypto, file, version, why));
    kmse_st st = kmse_datakey_derive(key, r->crypto, &data_key, KMSE_INFO_INDEX,
                                     file->id, version->number);
    kmse_secret_wipe(&data_key);
    if (kmse_is_ok(st))
        st = kmse_hmac_new(&maker->hmac, r->crypto, key, sizeof(key));
    OPENSSL_cleanse(key, sizeof(key));
    KMSE_TRY(st);
    maker->version = version->number;
    makers->count++;
    return KMSE_OK;
}

static kmse_st prove(const struct kmse_rotation *r,
                     const struct kmse_keyfile *file, struct kmse_why *why)
{
    struct kmse_secret newest = {0};
    KMSE_TRY(kmse_keyfile_unwrap(&newest, r->kms, r->crypto, file,
                                 kmse_keyfile_newest(file), why));
    kmse_st st = kmse_keyfile_check_mac(r->crypto, file, &newest, why);
    kmse_secret_wipe(&newest);
    return st;
}

static kmse_st add_all(struct makers *makers, const struct kmse_rotation *r,
                       const struct kmse_keyfile *file, struct kmse_why *why)
{
    for (size_t i = 0; i < file->version_count; i++) {
        const struct kmse_version *version = &file->versions[i];
        if (version->state == KMSE_VERSION_ACTIVE)
            KMSE_TRY(add_maker(makers, r, file, version, why));
    }
    return KMSE_OK;
}

static kmse_st add_one(struct makers *makers, const struct kmse_rotation *r,
                       const struct kmse_keyfile *file, uint32_t number,
                       struct kmse_why *why)
{
    const struct kmse_version *version =
        number == 0
            ? kmse_keyfile_current(file, r->clock->wall_s(r->clock->arg))
            : kmse_keyfile_find(file, number);
    if (version == NULL)
        return number == 0
                   ? kmse_fail(why, KMSE_R_KEY_NO_ACTIVE_VERSION, "key %s",
                               file->name)
                   : kmse_fail(why, KMSE_R_KEY_VERSION_UNKNOWN,
                               "key %s, version %u", file->name, number);
    if (version->state != KMSE_VERSION_ACTIVE)
        return kmse_fail(why, KMSE_R_KEY_VERSION, "key %s, version %u is %s",
                         file->name, number,
                         kmse_version_state_name(version->state));
    return add_maker(makers, r, file, version, why);
}

static kmse_st makers_init(struct makers *makers, const struct kmse_rotation *r,
                           const struct kmse_options *options,
                           struct kmse_why *why)
{
    struct kmse_keyfile *file = NULL;
    KMSE_TRY(kmse_keyfile_read(&file, r->folder, options->operand, NULL, why));
    kmse_st st = prove(r, file, why);
    if (kmse_is_ok(st)) {
        makers->list = calloc(file->version_count, sizeof(*makers->list));
        st = makers->list == NULL ? KMSE_ERR(KMSE_R_MEMORY)
             : options->all_versions
                 ? add_all(makers, r, file, why)
                 : add_one(makers, r, file, options->version, why);
    }
    if (kmse_is_ok(st) && makers->count == 0)
        st = kmse_fail(why, KMSE_R_KEY_NO_ACTIVE_VERSION, "key %s", file->name);
    kmse_keyfile_free(file);
    return st;
}

/* --- the values --------------------------------------------------------- */

static kmse_st make_value(const struct maker *maker, const char *line,
                          size_t len, uint8_t *value, size_t size)
{
    struct kmse_hmac *hmac = NULL;
    KMSE_TRY(kmse_hmac_dup(&hmac, maker->hmac));
    /* getline gives char. */
    const void *bytes = line;
    kmse_st st = kmse_hmac_update(hmac, bytes, len);
    if (kmse_is_ok(st))
        st = kmse_index_finish(hmac, value, size);
    kmse_hmac_free(hmac);
    return st;
}

static kmse_st print_value(const uint8_t *value, size_t size, bool base64)
{
    char hex[2 * KMSE_INDEX_SIZE_MAX + 1];
    char *text = NULL;
    if (!base64) {
        kmse_hex_encode(hex, value, size);
        fputs(hex, stdout);
        return KMSE_OK;
    }
    KMSE_TRY(kmse_base64_encode(&text, value, size));
    fputs(text, stdout);
    free(text);
    return KMSE_OK;
}

/* One line of output for one of input: VALUE, or N:VALUE of each version. */
static kmse_st print_line(const struct makers *makers,
                          const struct kmse_options *options, const char *line,
                          size_t len)
{
    uint8_t value[KMSE_INDEX_SIZE_MAX];
    for (size_t i = 0; i < makers->count; i++) {
        const struct maker *maker = &makers->list[i];
        KMSE_TRY(make_value(maker, line, len, value, options->size));
        if (options->all_versions)
            printf("%s%u:", i > 0 ? " " : "", (unsigned)maker->version);
        KMSE_TRY(print_value(value, options->size, options->base64));
    }
    putchar('\n');
    return KMSE_OK;
}

static kmse_st print_lines(const struct makers *makers,
                           const struct kmse_options *options,
                           struct kmse_why *why)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t read_len = 0;
    kmse_st st = KMSE_OK;
    while (kmse_is_ok(st) && (read_len = getline(&line, &room, stdin)) >= 0) {
        size_t len = (size_t)read_len;
        if (len > 0 && line[len - 1] == '\n')
            len--;
        st = print_line(makers, options, line, len);
    }
    if (kmse_is_ok(st) && ferror(stdin))
        st = kmse_fail(why, KMSE_R_FILE, "stdin: %s", strerror(errno));
    if (line != NULL)
        OPENSSL_cleanse(line, room);
    free(line);
    return st;
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    struct makers makers = {0};
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    st = makers_init(&makers, &session.rotation, options, &why);
    if (kmse_is_ok(st))
        st = print_lines(&makers, options, &why);
    makers_wipe(&makers);
    kmse_session_close(&session);
    return kmse_is_ok(st) ? KMSE_EXIT_DONE : kmse_tool_fail(st, &why);
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    if (options->all_versions && options->version != 0)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--version and --all-versions: only one of them");
    return KMSE_OK;
}

const struct kmse_verb kmse_verb_index = {
    .name = "index",
    .operands = "NAME",
    .summary = "print the blind index of each line of standard input",
    .details = "What KMS-ENVELOPE-INDEX gives, under the newest version if none"
               " is asked for. With\n--all-versions, a line is 1:VALUE 2:VALUE"
               " ..., to find rows that are under any.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION | KMSE_OPTION_ALL_VERSIONS
             | KMSE_OPTION_SIZE | KMSE_OPTION_BASE64,
    .needs = KMSE_OPTION_KEYS,
    .operands_min = 1,
    .operands_max = 1,
    .check = check,
    .run = run,
};
