/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope create: a new key, with a new data key or one that is there. */
#include "tools/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/import.h"

enum { NEW_FOLDER_MODE = 0700 };

/* The data key to import, if any, and what it was read as. */
struct source {
    struct kmse_secret data_key;
    struct kmse_blob blob;
    enum kmse_import_form form;
};

static void source_wipe(struct source *source)
{
    kmse_secret_wipe(&source->data_key);
    kmse_blob_wipe(&source->blob);
}

static kmse_st check_name(const char *name, struct kmse_why *why)
{
    if (kmse_key_name_is_valid(name))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_NAME,
                     "'%s': 1 to %d of a-z, 0-9, '.', '_' and '-', beginning"
                     " with a letter or a digit",
                     name, KMSE_KEY_NAME_MAX);
}

static kmse_st make_folder(const char *folder, struct kmse_why *why)
{
    if (mkdir(folder, NEW_FOLDER_MODE) == 0 || errno == EEXIST)
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_FILE, "%s cannot be made: %s", folder,
                     strerror(errno));
}

/* Before a master key is made for nothing. rotation.h looks again. */
static kmse_st check_absent(const char *folder, const char *name,
                            struct kmse_why *why)
{
    struct kmse_file_mark mark;
    if (!kmse_is_ok(kmse_keyfile_stat(folder, name, &mark, why)))
        return KMSE_OK;
    return kmse_fail(why, KMSE_R_KEY_EXISTS,
                     "%s/%s.json: to add a version: kms-envelope rotate %s",
                     folder, name, name);
}

static kmse_st read_source(struct source *source,
                           const struct kmse_session *session,
                           const struct kmse_options *options,
                           struct kmse_why *why)
{
    if (options->from_plaintext)
        return kmse_import_key_read(&source->data_key, session->rotation.pool,
                                    &source->form, STDIN_FILENO, why);
    if (options->from_ciphertext != NULL)
        return kmse_import_blob_read(&source->blob, &source->form,
                                     options->from_ciphertext, why);
    return KMSE_OK;
}

/* --- the key ------------------------------------------------------------ */

/* Of a blob's own master key only the name: one made now did not make it. */
static kmse_st prepare_master(char **uri, const struct kmse_session *session,
                              const char *given, bool made_the_blob,
                              struct kmse_why *why)
{
    if (made_the_blob)
        return kmse_kms_resolve(uri, session->rotation.kms, given, why);
    return kmse_session_ensure_master(uri, session, given, why);
}

static kmse_st write_key(const struct kmse_session *session,
                         const struct kmse_options *options,
                         const struct source *source,
                         const char *const *masters, struct kmse_why *why)
{
    const struct kmse_import import = {
        .data_key = &source->data_key,
        .blob = options->from_ciphertext != NULL ? &source->blob : NULL,
        .blob_context = &options->blob_context,
    };
    bool imports = options->from_ciphertext != NULL || options->from_plaintext;
    return kmse_rotation_import(&session->rotation, options->operand, masters,
                                options->master_keys.count, &options->context,
                                &options->policy, imports ? &import : NULL,
                                why);
}

static kmse_st create(const struct kmse_session *session,
                      const struct kmse_options *options,
                      const struct source *source, struct kmse_why *why)
{
    const struct kmse_uris *given = &options->master_keys;
    char *uris[KMSE_MASTER_KEYS_MAX] = {NULL};
    const char *masters[KMSE_MASTER_KEYS_MAX] = {NULL};
    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < given->count; i++) {
        bool made_the_blob = i == 0 && options->from_ciphertext != NULL;
        st = prepare_master(&uris[i], session, given->list[i], made_the_blob,
                            why);
        if (!kmse_is_ok(st))
            goto done;
        masters[i] = uris[i];
    }
    st = write_key(session, options, source, masters, why);
done:
    for (size_t i = 0; i < given->count; i++)
        free(uris[i]);
    return st;
}

/* --- what there is to say ----------------------------------------------- */

static void print_import_hints(const struct kmse_options *options,
                               const struct source *source)
{
    const char *name = options->operand, *folder = options->keys;
    if (options->from_ciphertext != NULL) {
        kmse_tool_hint("%s was read as %s: a blob of %zu bytes",
                       options->from_ciphertext,
                       kmse_import_form_name(source->form), source->blob.len);
        kmse_tool_hint("it is kept as it is, and its encryption context does"
                       " not say of which key and version it is; a new copy"
                       " does: kms-envelope rewrap %s --keys %s",
                       name, folder);
    } else {
        kmse_tool_hint("standard input was read as %s",
                       kmse_import_form_name(source->form));
    }
    kmse_tool_hint("what was encrypted with this data key elsewhere stays as it"
                   " is, for the code that wrote it: keys for messages are"
                   " derived from it here, and neither opens the other's."
                   " Whoever has it reads both; nobody has had the one that"
                   " this makes: kms-envelope rotate %s --keys %s",
                   name, folder);
}

/* What the KMS cannot know: that the blob was never here before. */
static void print_refusal_hint(const struct kmse_options *options, kmse_st st)
{
    if (options->from_ciphertext == NULL)
        return;
    if (st.reason == KMSE_R_KMS_BLOB)
        kmse_tool_hint("was the blob made with an encryption context? Give all"
                       " of it: --blob-context NAME=VALUE");
    if (st.reason == KMSE_R_KMS_ANSWER)
        kmse_tool_hint("only a data key of 32 bytes (AES_256) can be adopted");
}

static int run(const struct kmse_options *options)
{
    const char *name = options->operand;
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    struct source source = {.form = KMSE_IMPORT_BINARY};
    kmse_st st = check_name(name, &why);
    if (kmse_is_ok(st))
        st = check_absent(options->keys, name, &why);
    if (kmse_is_ok(st))
        st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st = read_source(&source, &session, options, &why);
    if (kmse_is_ok(st))
        st = make_folder(options->keys, &why);
    if (kmse_is_ok(st))
        st = create(&session, options, &source, &why);
    int exit_code = KMSE_EXIT_DONE;
    if (!kmse_is_ok(st)) {
        exit_code = kmse_tool_fail(st, &why);
        print_refusal_hint(options, st);
    } else {
        printf("%s: version 1 encrypts from now on\n", name);
        if (options->from_ciphertext != NULL || options->from_plaintext)
            print_import_hints(options, &source);
    }
    source_wipe(&source);
    kmse_session_close(&session);
    return exit_code;
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    if (options->from_ciphertext != NULL && options->from_plaintext)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--from-ciphertext and --from-plaintext: only one of"
                         " them");
    if (options->blob_context.count > 0 && options->from_ciphertext == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--blob-context goes with --from-ciphertext");
    return KMSE_OK;
}

const struct kmse_verb kmse_verb_create = {
    .name = "create",
    .operands = "NAME",
    .summary = "make a key with version 1",
    .details = "A local master key (local:FILE) and DIR are made if they are"
               " not there. A data key\nthat is there already is adopted with"
               " its blob, which the first master key made,\nor imported:"
               " 32 bytes, 64 hex digits, or base64.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_MASTER_KEY | KMSE_OPTION_CONTEXT
             | KMSE_OPTION_ROTATE_AFTER | KMSE_OPTION_MAX_MESSAGES
             | KMSE_OPTION_MAX_BYTES | KMSE_OPTION_DESTROY_AFTER
             | KMSE_OPTION_CENSUS_FENCE | KMSE_OPTION_FROM_CIPHERTEXT
             | KMSE_OPTION_BLOB_CONTEXT | KMSE_OPTION_FROM_PLAINTEXT,
    .needs = KMSE_OPTION_KEYS | KMSE_OPTION_MASTER_KEY,
    .operands_min = 1,
    .operands_max = 1,
    .check = check,
    .run = run,
};
