/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_PROCESS_H
#define KMSE_KMS_AWS_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/*
 * Run a program, found in PATH, without a shell, and take what it prints. Its
 * input and its errors are /dev/null; of the host it gets the environment and
 * no other file. It is killed with its process group when timeout_ms are over.
 * *output has a NUL behind it; kmse_file_free_bytes wipes and frees it.
 *   KMSE_R_KMS_CREDENTIALS  it does not start, does not end with 0, prints
 *                           more than output_max bytes; or we have more rights
 *                           than who started us
 *   KMSE_R_KMS_TIMEOUT      it is not done in time
 * why names the program, never an argument and nothing it printed.
 */
kmse_st kmse_aws_process_run(uint8_t **output, size_t *output_len,
                             char *const *words, size_t output_max,
                             uint64_t timeout_ms,
                             struct kmse_why *why) KMSE_MUST_CHECK;

#endif
