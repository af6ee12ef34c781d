/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_FORM_H
#define KMSE_KMS_AWS_FORM_H

#include <stddef.h>

#include "base/status.h"

/*
 * Names and values as application/x-www-form-urlencoded: all but the unreserved
 * letters of RFC 3986 are %XX, a space too.
 */
struct kmse_aws_field {
    const char *name;
    const char *value; /* NULL: left out */
};

struct kmse_aws_form {
    char *text;
    size_t len, size;
};

kmse_st kmse_aws_form_print(struct kmse_aws_form *form,
                            const struct kmse_aws_field *fields,
                            size_t count) KMSE_MUST_CHECK;
/* Values may be secret. Wiping an empty one is fine. */
void kmse_aws_form_wipe(struct kmse_aws_form *form);

#endif
