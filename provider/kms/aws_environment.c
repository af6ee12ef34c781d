/* SPDX-License-Identifier: Apache-2.0 */
/* The environment, as AWS's SDKs are told by it. */
#include "kms/aws_environment.h"

#include <stddef.h>
#include <stdlib.h>

const char *kmse_aws_environment(const char *name)
{
    const char *value = secure_getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}
