/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope create: a new key. */
#include "tools/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common.h"

enum { NEW_FOLDER_MODE = 0700 };

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

static kmse_st create(const struct kmse_session *session,
                      const struct kmse_options *options, struct kmse_why *why)
{
    char *uris[KMSE_MASTER_KEYS_MAX] = {NULL};
    const char *given[KMSE_MASTER_KEYS_MAX] = {NULL};
    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < options->master_key_count; i++) {
        st = kmse_session_ensure_master(&uris[i], session,
                                        options->master_keys[i], why);
        if (!kmse_is_ok(st))
            goto done;
        given[i] = uris[i];
    }
    st = kmse_rotation_create(&session->rotation, options->operand, given,
                              options->master_key_count, &options->context,
                              &options->policy, why);
done:
    for (size_t i = 0; i < options->master_key_count; i++)
        free(uris[i]);
    return st;
}

static int run(const struct kmse_options *options)
{
    const char *name = options->operand;
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    kmse_st st = check_name(name, &why);
    if (kmse_is_ok(st))
        st = make_folder(options->keys, &why);
    if (kmse_is_ok(st))
        st = check_absent(options->keys, name, &why);
    if (kmse_is_ok(st))
        st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st = create(&session, options, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    printf("%s: version 1 encrypts from now on\n", name);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_create = {
    .name = "create",
    .operands = "NAME",
    .summary = "make a key with version 1",
    .details = "A local master key (local:FILE) and DIR are made if they are"
               " not there.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_MASTER_KEY | KMSE_OPTION_CONTEXT
             | KMSE_OPTION_MAX_MESSAGES | KMSE_OPTION_MAX_BYTES,
    .needs = KMSE_OPTION_KEYS | KMSE_OPTION_MASTER_KEY,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
