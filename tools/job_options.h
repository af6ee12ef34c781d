/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_JOB_OPTIONS_H
#define KMSE_TOOLS_JOB_OPTIONS_H

#include "table/job.h"
#include "tools/options.h"

/*
 * The job of a command line: of its --job FILE, if there is one, and of the
 * options that say the same. Whole: kmse_job_finish was called.
 * KMSE_R_PARAMETER and the reasons of job.h.
 */
kmse_st kmse_job_options_read(struct kmse_job *job,
                              const struct kmse_options *options,
                              struct kmse_why *why) KMSE_MUST_CHECK;

#endif
