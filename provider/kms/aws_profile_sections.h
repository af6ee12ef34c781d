/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_AWS_PROFILE_SECTIONS_H
#define KMSE_KMS_AWS_PROFILE_SECTIONS_H

#include "kms/aws_profile.h"

/* Inside aws_profile: a file as it was read. The last of a list is its first.
 */
struct kmse_aws_entry {
    struct kmse_aws_entry *next;
    char *key, *value;
};

/* KMSE_AWS_OTHER is kept, so that it is checked as the others are. */
enum kmse_aws_section_kind {
    KMSE_AWS_PROFILE,
    KMSE_AWS_SERVICES,
    KMSE_AWS_OTHER
};

struct kmse_aws_section {
    struct kmse_aws_section *next;
    enum kmse_aws_section_kind kind;
    char *name;
    struct kmse_aws_entry *entries;
    size_t count;
};

/* All of them; as kmse_aws_profiles_parse says. aws_profile_parse.c */
kmse_st kmse_aws_sections_parse(struct kmse_aws_section **sections,
                                enum kmse_aws_file kind, const char *text,
                                const char *origin,
                                struct kmse_why *why) KMSE_MUST_CHECK;

struct kmse_aws_section *
kmse_aws_section_find(struct kmse_aws_section *sections,
                      enum kmse_aws_section_kind kind, const char *name);
struct kmse_aws_entry *
kmse_aws_entry_find(const struct kmse_aws_section *section, const char *key);

/* These wipe what was a value. */
void kmse_aws_text_free(char *text);
void kmse_aws_entry_free(struct kmse_aws_entry *entry);
void kmse_aws_sections_free(struct kmse_aws_section *sections);

#endif
