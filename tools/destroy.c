/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope destroy: a retired version's wrapped copies go. */
#include "tools/verbs.h"

#include <stdio.h>

#include "keyring/retire.h"
#include "tools/common.h"

/* What would be refused is not asked for. */
static kmse_st look(const struct kmse_options *options, bool *is_done,
                    struct kmse_why *why)
{
    struct kmse_keyfile *file = NULL;
    KMSE_TRY(
        kmse_keyfile_read(&file, options->keys, options->operand, NULL, why));
    const struct kmse_clock *clock = &kmse_clock_system;
    kmse_st st = kmse_destroy_check(file, options->version,
                                    clock->wall_s(clock->arg), why);
    const struct kmse_version *version =
        kmse_keyfile_find(file, options->version);
    *is_done = version != NULL && version->state == KMSE_VERSION_DESTROYED;
    kmse_keyfile_free(file);
    return st;
}

static bool is_meant(const struct kmse_options *options)
{
    kmse_tool_hint("key %s, version %u: what it encrypted, in backups too, will"
                   " never open again",
                   options->operand, (unsigned)options->version);
    return kmse_tool_is_meant(options->operand);
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    bool is_done = false;
    kmse_st st = look(options, &is_done, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    if (!is_done && !options->yes && !is_meant(options)) {
        kmse_tool_hint("nothing was changed");
        return KMSE_EXIT_FAILED;
    }
    st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st = kmse_rotation_destroy(&session.rotation, options->operand,
                                   options->version, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    printf("%s: version %u is destroyed\n", options->operand,
           (unsigned)options->version);
    if (!is_done)
        kmse_tool_hint("backups of the key file have its wrapped copies still");
    return KMSE_EXIT_DONE;
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    return kmse_tool_check_can_ask(options->yes, why);
}

const struct kmse_verb kmse_verb_destroy = {
    .name = "destroy",
    .operands = "NAME",
    .summary = "drop a retired version's data key, for ever",
    .details = "Only of a version that was retired for the time that the"
               " policy says\n(policy --destroy-after, 30 days by default)."
               " What it encrypted, in backups too,\nnever opens again. A"
               " backup of the key file has its wrapped copies still: whoever"
               "\nhas that and the master key can undo it.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION | KMSE_OPTION_YES,
    .needs = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION,
    .operands_min = 1,
    .operands_max = 1,
    .check = check,
    .run = run,
};
