/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope rotate: one more version of a key. */
#include "tools/verbs.h"

#include <stdio.h>

#include "tools/common.h"

/* Before, not after: the clock of this line may be later than the file's. */
static void print_result(const char *name, uint32_t number, int64_t from_s,
                         int64_t active_in_s)
{
    char from[KMSE_TIME_LEN];
    kmse_time_print(from, from_s);
    printf("%s: version %u encrypts from %s on\n", name, (unsigned)number,
           active_in_s > 0 ? from : "now");
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    uint32_t number = 0;
    int64_t from_s = 0;
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st)) {
        from_s = kmse_session_now(&session) + options->active_in_s;
        st = kmse_rotation_rotate(&session.rotation, options->operand,
                                  options->active_in_s, &number, &why);
    }
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    print_result(options->operand, number, from_s, options->active_in_s);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_rotate = {
    .name = "rotate",
    .operands = "NAME",
    .summary = "add a version; older ones go on decrypting",
    .details = "Running programs see it within a second. With --active-in, a"
               " fleet receives\nthe version before anyone encrypts with it.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_ACTIVE_IN,
    .needs = KMSE_OPTION_KEYS,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
