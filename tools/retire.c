/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope retire: a version of which no row is left does not decrypt. */
#include "tools/verbs.h"

#include <stdio.h>

#include "keyring/retire.h"
#include "tools/common.h"

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    struct kmse_keyfile *file = NULL;
    char until[KMSE_TIME_LEN] = "";
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st = kmse_rotation_retire(&session.rotation, options->operand,
                                  options->version, &why);
    if (kmse_is_ok(st))
        st = kmse_keyfile_read(&file, options->keys, options->operand, NULL,
                               &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    const struct kmse_version *version =
        kmse_keyfile_find(file, options->version);
    int64_t until_s =
        version != NULL ? kmse_keyfile_destroyable(file, version) : 0;
    kmse_keyfile_free(file);
    printf("%s: version %u is retired\n", options->operand,
           (unsigned)options->version);
    kmse_time_print(until, until_s);
    if (until_s != 0)
        kmse_tool_hint("undo makes it active again; it may be destroyed from %s"
                       " on",
                       until);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_retire = {
    .name = "retire",
    .operands = "NAME",
    .summary = "end a version of which a census found no rows",
    .details = "It does not decrypt any more, in running programs within a"
               " second; its copies are\nkept: undo makes it active again. The"
               " last census of every place that was ever\nrecorded must have"
               " found none, and have begun a minute after its successor took"
               "\nover: what is missing is said.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION,
    .needs = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
