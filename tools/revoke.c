/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope revoke: a version is used for nothing any more, or is again. */
#include "tools/verbs.h"

#include <stdio.h>

#include "tools/common.h"

static bool is_meant(const struct kmse_options *options)
{
    kmse_tool_hint(options->undo
                       ? "key %s, version %u: all programs will use it again"
                       : "key %s, version %u: what it encrypted will not open"
                         " until revoke --undo",
                   options->operand, (unsigned)options->version);
    return kmse_tool_is_meant(options->operand);
}

static void print_result(const struct kmse_options *options, uint32_t number)
{
    const char *name = options->operand;
    if (options->undo) {
        printf("%s: version %u is active\n", name, (unsigned)options->version);
        return;
    }
    printf("%s: version %u is revoked\n", name, (unsigned)options->version);
    if (number != 0)
        printf("%s: version %u encrypts from now on\n", name, (unsigned)number);
    else if (options->rotate)
        kmse_tool_hint("it was revoked before: no version was added");
    kmse_tool_hint("programs that have this key file stop within a second;"
                   " bring it to all machines that have one of their own");
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    uint32_t number = 0;
    if (!options->yes && !is_meant(options)) {
        kmse_tool_hint("nothing was changed");
        return KMSE_EXIT_FAILED;
    }
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st =
            options->undo
                ? kmse_rotation_undo_revoke(&session.rotation, options->operand,
                                            options->version, &why)
                : kmse_rotation_revoke(&session.rotation, options->operand,
                                       options->version, options->rotate,
                                       &number, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    print_result(options, number);
    return KMSE_EXIT_DONE;
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    if (options->undo && options->rotate)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--undo and --rotate: only one of them");
    return kmse_tool_check_can_ask(options->yes, why);
}

const struct kmse_verb kmse_verb_revoke = {
    .name = "revoke",
    .operands = "NAME",
    .summary = "stop all use of a version, within a second",
    .details = "The kill switch, for a data key that may have leaked: the"
               " version neither\nencrypts nor decrypts. Its copies are kept:"
               " --undo makes it active again. The\nversion that encrypts needs"
               " a successor: --rotate.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION | KMSE_OPTION_ROTATE
             | KMSE_OPTION_UNDO | KMSE_OPTION_YES,
    .needs = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION,
    .operands_min = 1,
    .operands_max = 1,
    .check = check,
    .run = run,
};
