/* SPDX-License-Identifier: Apache-2.0 */
/* kms-envelope handle: what a program that hard-codes AES-256 gets as its key.
 */
#include "tools/verbs.h"

#include <stdio.h>

#include <openssl/crypto.h>

#include "tools/common.h"

static int run(const struct kmse_options *options)
{
    struct kmse_why why = {""};
    struct kmse_session session = {0};
    uint32_t version = options->version;
    uint8_t handle[KMSE_HANDLE_LEN];
    kmse_st st = kmse_session_open(&session, options->keys, &why);
    if (kmse_is_ok(st))
        st = kmse_rotation_handle(&session.rotation, options->operand, &version,
                                  handle, &why);
    kmse_session_close(&session);
    if (!kmse_is_ok(st))
        return kmse_tool_fail(st, &why);
    printf("%.*s\n", KMSE_HANDLE_LEN, (const char *)handle);
    OPENSSL_cleanse(handle, sizeof(handle));
    kmse_tool_hint("a secret, for key %s, version %u: these 32 characters are"
                   " the AES-256 key; then, as the program's user and with its"
                   " environment: kms-envelope check",
                   options->operand, (unsigned)version);
    return KMSE_EXIT_DONE;
}

const struct kmse_verb kmse_verb_handle = {
    .name = "handle",
    .operands = "NAME",
    .summary = "print what stands for a version where AES-256 is hard-coded",
    .details = "For the drop-in (drop-in = yes in openssl.cnf), of the newest"
               " version or another.\nIt is the same each time. Keep it as a"
               " secret, and check that it is in force: check.",
    .takes = KMSE_OPTION_KEYS | KMSE_OPTION_VERSION,
    .needs = KMSE_OPTION_KEYS,
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
