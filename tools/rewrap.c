/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope rewrap: new wrapped copies of a key's versions. */
#include "tools/verbs.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/common.h"

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    char *to = NULL;
    size_t renewed = 0;
    struct kmse_file_mark mark;
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st)) /* before a master key is made for nothing */
        st = kmse_keyfile_stat(options->keys, options->operand, &mark, &why);
    if (kmse_is_ok(st) && options->to != NULL)
        st = kmse_session_ensure_master(&to, &session, options->to, &why);
    if (kmse_is_ok(st))
        st = kmse_rotation_rewrap(&session.rotation, options->operand, to,
                                  &renewed, &why);
    free(to);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    printf("%s: %zu wrapped %s made anew\n", options->operand, renewed,
           renewed == 1 ? "copy" : "copies");
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_rewrap = {
    .name = "rewrap",
    .operands = "NAME",
    .summary = "wrap every version anew; the data stays as it is",
    .details = "After rotate-master, or, with --to, to move to another master"
               " key. A local one\n(local:FILE) is made if it is not there.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_TO,
    .needs = KMSE_OPTION_KEYS,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
