/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to a BIO of the host. */
#include "glue/output.h"

#include <stdint.h>

kmse_st kmse_output(const struct kmse_core *core, OSSL_CORE_BIO *out,
                    const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        size_t written = 0;
        if (core->bio_write_ex == NULL
            || core->bio_write_ex(out, at, len, &written) != 1 || written == 0)
            return KMSE_ERR(KMSE_R_FILE);
        at += written;
        len -= written;
    }
    return KMSE_OK;
}
