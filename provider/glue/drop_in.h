/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_GLUE_DROP_IN_H
#define KMSE_GLUE_DROP_IN_H

#include <openssl/core_dispatch.h>

#include "base/algorithm.h"

/*
 * The drop-in: AES-256 for programs that hard-code it. A key of 32 bytes that
 * is a handle (keyring/handle.h) is replaced by the key it stands for, and all
 * else goes through to the cipher of another provider as it came. Every
 * AES-256 with a key of 32 bytes is in the table: one that was not there would
 * encrypt under the handle's own bytes.
 */
#define KMSE_DROP_INS(X)                                                       \
    KMSE_DROP_INS_BLOCK(X)                                                     \
    KMSE_DROP_INS_WRAP(X)

#define KMSE_DROP_INS_BLOCK(X)                                                 \
    X(ecb, "AES-256-ECB", "AES-256-ECB:2.16.840.1.101.3.4.1.41")               \
    X(cbc, "AES-256-CBC", "AES-256-CBC:AES256:2.16.840.1.101.3.4.1.42")        \
    X(cbc_cts, "AES-256-CBC-CTS", "AES-256-CBC-CTS")                           \
    X(ofb, "AES-256-OFB", "AES-256-OFB:2.16.840.1.101.3.4.1.43")               \
    X(cfb, "AES-256-CFB", "AES-256-CFB:2.16.840.1.101.3.4.1.44")               \
    X(cfb1, "AES-256-CFB1", "AES-256-CFB1")                                    \
    X(cfb8, "AES-256-CFB8", "AES-256-CFB8")                                    \
    X(ctr, "AES-256-CTR", "AES-256-CTR")                                       \
    X(gcm, "AES-256-GCM", "id-aes256-GCM:AES-256-GCM:2.16.840.1.101.3.4.1.46") \
    X(ccm, "AES-256-CCM", "id-aes256-CCM:AES-256-CCM:2.16.840.1.101.3.4.1.47") \
    X(ocb, "AES-256-OCB", "AES-256-OCB")

#define KMSE_DROP_INS_WRAP(X)                                                  \
    X(wrap, "AES-256-WRAP",                                                    \
      "id-aes256-wrap:AES-256-WRAP:AES256-WRAP:2.16.840.1.101.3.4.1.45")       \
    X(wrap_pad, "AES-256-WRAP-PAD",                                            \
      "id-aes256-wrap-pad:AES-256-WRAP-PAD:AES256-WRAP-PAD:"                   \
      "2.16.840.1.101.3.4.1.48")                                               \
    X(wrap_inv, "AES-256-WRAP-INV", "AES-256-WRAP-INV:AES256-WRAP-INV")        \
    X(wrap_pad_inv, "AES-256-WRAP-PAD-INV",                                    \
      "AES-256-WRAP-PAD-INV:AES256-WRAP-PAD-INV")

enum kmse_drop_in_index {
#define KMSE_DROP_IN_ENUM(name, fetched, names) KMSE_DROP_IN_##name,
    KMSE_DROP_INS(KMSE_DROP_IN_ENUM)
#undef KMSE_DROP_IN_ENUM
        KMSE_DROP_IN_COUNT
};

/* The ciphers that an instance hands on to; fetched by the first context. */
struct kmse_drop_in {
    struct kmse_algorithms fetched;
    struct kmse_algorithm algorithms[KMSE_DROP_IN_COUNT];
};
void kmse_drop_in_init(struct kmse_drop_in *drop_in);
/* Before the instance's struct kmse_crypto goes. */
void kmse_drop_in_wipe(struct kmse_drop_in *drop_in);

#define KMSE_DROP_IN_EXTERN(name, fetched, names)                              \
    extern const OSSL_DISPATCH kmse_drop_in_##name##_functions[];
KMSE_DROP_INS(KMSE_DROP_IN_EXTERN)
#undef KMSE_DROP_IN_EXTERN

#endif
