/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_TOOLS_VERBS_H
#define KMSE_TOOLS_VERBS_H

#include "tools/options.h"

extern const struct kmse_verb kmse_verb_create;
extern const struct kmse_verb kmse_verb_rotate;
extern const struct kmse_verb kmse_verb_rewrap;
extern const struct kmse_verb kmse_verb_policy;
extern const struct kmse_verb kmse_verb_revoke;
extern const struct kmse_verb kmse_verb_census;
extern const struct kmse_verb kmse_verb_retire;
extern const struct kmse_verb kmse_verb_undo;
extern const struct kmse_verb kmse_verb_destroy;
extern const struct kmse_verb kmse_verb_rotate_master;
extern const struct kmse_verb kmse_verb_status;
extern const struct kmse_verb kmse_verb_inspect;
extern const struct kmse_verb kmse_verb_index;
extern const struct kmse_verb kmse_verb_handle;
extern const struct kmse_verb kmse_verb_check;
extern const struct kmse_verb kmse_verb_doctor;
extern const struct kmse_verb kmse_verb_agent; /* where libevent is there */

#endif
