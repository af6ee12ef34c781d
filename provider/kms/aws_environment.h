/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_ENVIRONMENT_H
#define KMSE_KMS_AWS_ENVIRONMENT_H

/*
 * The one place of the backend that reads the environment. A view, or NULL if
 * it is not set, empty, or the process runs with more rights than its user
 * (secure_getenv). The caller copies at once: setenv may move it.
 */
const char *kmse_aws_environment(const char *name);

#endif
