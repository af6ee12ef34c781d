/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope rotate-master: a new backing key for a local master key. */
#include "tools/verbs.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/common.h"

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    struct kmse_kms_description description = {0};
    char *uri = NULL;
    kmse_st st = kmse_session_open(&session, NULL, &why);
    struct kmse_kms *kms = session.rotation.kms;
    if (kmse_is_ok(st))
        st = kmse_kms_resolve(&uri, kms, options->operand, &why);
    if (kmse_is_ok(st))
        st = kmse_kms_rotate_master(kms, uri, &why);
    if (kmse_is_ok(st))
        st = kmse_kms_describe(kms, uri, &description, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st)) {
        free(uri);
        return kmse_tool_fail(st, &why);
    }
    printf("%s: backing key %u wraps from now on\n", uri,
           description.backing_keys);
    kmse_tool_hint("back it up; to move existing keys to it: kms-envelope"
                   " rewrap NAME --keys DIR");
    free(uri);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_rotate_master = {
    .name = "rotate-master",
    .operands = "URI",
    .summary = "give a local master key a new backing key",
    .details = "Blobs of older backing keys still open; rewrap moves keys to"
               " the new one.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
