/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope policy: what a key's file says of its limits and rotation. */
#include "tools/verbs.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/common.h"
#include "tools/duration.h"

#define CHANGES                                                                \
    (KMSE_OPTION_ROTATE_AFTER | KMSE_OPTION_MAX_MESSAGES                       \
     | KMSE_OPTION_MAX_BYTES | KMSE_OPTION_DESTROY_AFTER                       \
     | KMSE_OPTION_CENSUS_FENCE)

static void print_limit(const char *name, uint64_t limit)
{
    if (limit == 0)
        printf(", %s none", name);
    else
        printf(", %s %" PRIu64, name, limit);
}

static void print_policy(const char *name, const struct kmse_policy *policy)
{
    char after[KMSE_DURATION_LEN] = "never";
    if (policy->rotate_after_s != 0)
        kmse_duration_print(after, (int64_t)policy->rotate_after_s);
    printf("%s: rotate-after %s", name, after);
    print_limit("max-messages", policy->max_messages);
    print_limit("max-bytes", policy->max_bytes);
    kmse_duration_print(after, kmse_policy_destroy_after(policy));
    printf(", destroy-after %s", after);
    kmse_duration_print(after, kmse_policy_census_fence(policy));
    printf(", census-fence %s\n", after);
}

/* What was given, or NULL. */
static const uint64_t *given(const struct kmse_options *options,
                             uint64_t option, const uint64_t *value)
{
    return (options->given & option) != 0 ? value : NULL;
}

static kmse_st change(const struct kmse_options *options,
                      struct kmse_policy *policy, struct kmse_why *why)
{
    const struct kmse_policy *wanted = &options->policy;
    const struct kmse_policy_change wish = {
        .max_messages =
            given(options, KMSE_OPTION_MAX_MESSAGES, &wanted->max_messages),
        .max_bytes = given(options, KMSE_OPTION_MAX_BYTES, &wanted->max_bytes),
        .rotate_after_s =
            given(options, KMSE_OPTION_ROTATE_AFTER, &wanted->rotate_after_s),
        .destroy_after_s =
            given(options, KMSE_OPTION_DESTROY_AFTER, &wanted->destroy_after_s),
        .census_fence_s =
            given(options, KMSE_OPTION_CENSUS_FENCE, &wanted->census_fence_s),
    };
    struct kmse_session session = {0};
    KMSE_TRY(kmse_session_open(&session, options->keys, why));
    kmse_st st = kmse_rotation_change_policy(
        &session.rotation, options->operand, &wish, policy, why);
    kmse_session_close(&session);
    return st;
}

static kmse_st read(const struct kmse_options *options,
                    struct kmse_policy *policy, struct kmse_why *why)
{
    struct kmse_keyfile *file = NULL;
    KMSE_TRY(
        kmse_keyfile_read(&file, options->keys, options->operand, NULL, why));
    *policy = file->policy;
    kmse_keyfile_free(file);
    return KMSE_OK;
}

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_policy policy = {0};
    kmse_st st = (options->given & CHANGES) != 0
                     ? change(options, &policy, &why)
                     : read(options, &policy, &why);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    print_policy(options->operand, &policy);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_policy = {
    .name = "policy",
    .operands = "NAME",
    .summary =
        "show or change limits, and when versions are due to begin and end",
    .details = "What is not given stays as it is; N may be none. Running"
               " programs see it within\na second. Rotation by policy:"
               " kms-envelope rotate --if-due.",
    .takes = KMSE_OPTION_KEYS | CHANGES,
    .needs = KMSE_OPTION_KEYS,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
