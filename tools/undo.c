/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope undo: a retired version decrypts again. */
#include "tools/verbs.h"

#include <stdio.h>

#include "keyring/retire.h"
#include "tools/common.h"

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st = kmse_rotation_undo_retire(&session.rotation, options->operand,
                                       options->version, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    printf("%s: version %u is active\n", options->operand,
           (unsigned)options->version);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_undo = {
    .name = "undo",
    .operands = "NAME",
    .summary = "make a retired version active again",
    .details = "Until it is destroyed. Running programs see it within a"
               " second. Before it can be\nretired again, a census is needed"
               " that is younger than that.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION,
    .needs = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
