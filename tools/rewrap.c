/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope rewrap: other wrapped copies of a key's versions. */
#include "tools/verbs.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/common.h"

/* Which of the options was given, and its URIs. */
static enum kmse_rewrap_how choose(const struct kmse_uris **uris,
                                   const struct kmse_options *options)
{
    if (options->add.count > 0) {
        *uris = &options->add;
        return KMSE_REWRAP_ADD;
    }
    if (options->drop.count > 0) {
        *uris = &options->drop;
        return KMSE_REWRAP_DROP;
    }
    *uris = &options->to;
    return options->to.count > 0 ? KMSE_REWRAP_TO : KMSE_REWRAP_RENEW;
}

static kmse_st rewrap(const struct kmse_session *session,
                      const struct kmse_options *options,
                      struct kmse_rewrapped *done, struct kmse_why *why)
{
    const struct kmse_uris *given = NULL;
    enum kmse_rewrap_how how = choose(&given, options);
    char *uris[KMSE_MASTER_KEYS_MAX] = {NULL};
    const char *masters[KMSE_MASTER_KEYS_MAX] = {NULL};
    kmse_st st = KMSE_OK;
    for (size_t i = 0; i < given->count; i++) {
        masters[i] = given->list[i];
        if (how == KMSE_REWRAP_DROP) /* it may be gone, and is not made */
            continue;
        st = kmse_session_ensure_master(&uris[i], session, given->list[i], why);
        if (!kmse_is_ok(st))
            goto done;
        masters[i] = uris[i];
    }
    st = kmse_rotation_rewrap(&session->rotation, options->operand, how,
                              masters, given->count, done, why);
done:
    for (size_t i = 0; i < given->count; i++)
        free(uris[i]);
    return st;
}

static void print_result(const char *name, const struct kmse_rewrapped *done)
{
    printf("%s: wrapped copies: %zu made, %zu dropped\n", name, done->made,
           done->dropped);
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    struct kmse_rewrapped done = {0};
    struct kmse_file_mark mark;
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st)) /* before a master key is made for nothing */
        st = kmse_keyfile_stat(options->keys, options->operand, &mark, &why);
    if (kmse_is_ok(st))
        st = rewrap(&session, options, &done, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    print_result(options->operand, &done);
    return KMSE_EXIT_DONE;
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    int given = (options->to.count > 0) + (options->add.count > 0)
                + (options->drop.count > 0);
    if (given > 1)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--to, --add and --drop: only one of them at a time");
    return KMSE_OK;
}

const struct kmse_verb kmse_verb_rewrap = {
    .name = "rewrap",
    .operands = "NAME",
    .summary = "wrap every version anew; the data stays as it is",
    .details = "After a master key was rotated; or to move to other master"
               " keys (--to), have one\nmore (--add) or one less (--drop). A"
               " new copy is opened before an old one goes,\nand the last one"
               " never does. A local one (local:FILE) is made if it is not"
               " there.",
    .takes =
        KMSE_OPTION_KEYS | KMSE_OPTION_TO | KMSE_OPTION_ADD | KMSE_OPTION_DROP,
    .needs = KMSE_OPTION_KEYS,
    .operands_min = 1,
    .operands_max = 1,
    .check = check,
    .run = run,
};
