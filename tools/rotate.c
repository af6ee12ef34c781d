/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope rotate: one more version of a key, or of those that are due. */
#include "tools/verbs.h"

#include <stdio.h>

#include "base/age.h"
#include "tools/common.h"
#include "tools/usage.h"

/* Before, not after: the clock of this line may be later than the file's. */
static void print_result(const char *name, uint32_t number, int64_t from_s,
                         int64_t active_in_s)
{
    char from[KMSE_TIME_LEN];
    kmse_time_print(from, from_s);
    printf("%s: version %u encrypts from %s on\n", name, (unsigned)number,
           active_in_s > 0 ? from : "now");
}

static void print_not_due(const char *name, const struct kmse_due *due,
                          int64_t now_s)
{
    char at[KMSE_TIME_LEN], left[KMSE_AGE_LEN];
    if (due->state == KMSE_DUE_NEVER) {
        printf("%s: not due: its policy has no rotate-after\n", name);
        return;
    }
    kmse_time_print(at, due->at_s);
    kmse_age_print(left, due->at_s - now_s);
    printf("%s: not due until %s, in %s\n", name, at, left);
}

/* What the verb works with. */
struct rotate {
    struct kmse_session session;
    struct kmse_usage usage; /* for --if-due */
};

static kmse_st rotate(const struct rotate *with,
                      const struct kmse_options *options, const char *name,
                      struct kmse_due *due, uint32_t *number,
                      struct kmse_why *why)
{
    const struct kmse_rotation *r = &with->session.rotation;
    struct kmse_used used;
    bool known = kmse_usage_of(&used, &with->usage, name);
    if (options->if_due)
        return kmse_rotation_rotate_if_due(r, name, options->active_in_s,
                                           known ? &used : NULL, due, number,
                                           why);
    return kmse_rotation_rotate(r, name, options->active_in_s, number, why);
}

static int rotate_key(const struct rotate *with,
                      const struct kmse_options *options, const char *name,
                      struct kmse_due *due)
{
    struct kmse_why why = {""};
    uint32_t number = 0;
    int64_t now_s = kmse_session_now(&with->session);
    kmse_st st = rotate(with, options, name, due, &number, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    if (number != 0)
        print_result(name, number, now_s + options->active_in_s,
                     options->active_in_s);
    else if (!options->all || due->state != KMSE_DUE_NEVER)
        print_not_due(name, due, now_s);
    return KMSE_EXIT_DONE;
}

/* One that fails keeps none from its turn. */
static int rotate_all(const struct rotate *with,
                      const struct kmse_options *options)
{
    char **names = NULL;
    size_t count = 0, with_policy = 0;
    struct kmse_why why = {""};
    int exit_code = KMSE_EXIT_DONE;
    kmse_st st = kmse_keyfile_list(&names, &count, options->keys, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    for (size_t i = 0; i < count; i++) {
        struct kmse_due due = {.state = KMSE_DUE_NEVER};
        if (rotate_key(with, options, names[i], &due) != KMSE_EXIT_DONE)
            exit_code = KMSE_EXIT_FAILED;
        with_policy += due.state != KMSE_DUE_NEVER;
    }
    if (with_policy == 0 && exit_code == KMSE_EXIT_DONE)
        kmse_tool_hint("no key of %s has a rotate-after: kms-envelope policy",
                       options->keys);
    kmse_keyfile_free_list(names, count);
    return exit_code;
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct rotate with = {0};
    struct kmse_due due = {.state = KMSE_DUE_NEVER};
    kmse_st st = kmse_session_open(&with.session, options->keys, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    if (options->if_due)
        kmse_usage_open(&with.usage, options->socket);
    int exit_code = options->all
                        ? rotate_all(&with, options)
                        : rotate_key(&with, options, options->operand, &due);
    kmse_usage_close(&with.usage);
    kmse_session_close(&with.session);
    return exit_code;
}

static kmse_st check(const struct kmse_options *options, struct kmse_why *why)
{
    if (options->all && !options->if_due)
        return kmse_fail(why, KMSE_R_PARAMETER, "--all goes with --if-due");
    if (options->socket != NULL && !options->if_due)
        return kmse_fail(why, KMSE_R_PARAMETER, "--socket goes with --if-due");
    if (options->all && options->operand != NULL)
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "NAME and --all: only one of them");
    if (!options->all && options->operand == NULL)
        return kmse_fail(why, KMSE_R_PARAMETER, "NAME is missing");
    return KMSE_OK;
}

const struct kmse_verb kmse_verb_rotate = {
    .name = "rotate",
    .operands = "[NAME]",
    .summary = "add a version; older ones go on decrypting",
    .details = "Running programs see it within a second. With --active-in, a"
               " fleet receives\nthe version before anyone encrypts with it."
               " With --if-due, for a timer: a key that\nis not due, by its"
               " age or by what the agent of this host has counted, is left"
               "\nas it is; of several timers at once, one makes the version.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_ALL | KMSE_OPTION_IF_DUE
             | KMSE_OPTION_ACTIVE_IN | KMSE_OPTION_SOCKET,
    .needs = KMSE_OPTION_KEYS,
    .operands_max = 1,
    .check = check,
    .run = run,
};
