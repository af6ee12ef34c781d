/* SPDX-License-Identifier: Apache-2.0 */
/* What is found in AWS's shared configuration files. */
#include "kms/aws_profile.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "kms/aws_profile_sections.h"

enum { FILES = 2 };

struct kmse_aws_profiles {
    struct kmse_aws_section *sections[FILES];
    char *paths[FILES];
};

void kmse_aws_text_free(char *text)
{
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

void kmse_aws_entry_free(struct kmse_aws_entry *entry)
{
    kmse_aws_text_free(entry->key);
    kmse_aws_text_free(entry->value);
    free(entry);
}

void kmse_aws_sections_free(struct kmse_aws_section *sections)
{
    while (sections != NULL) {
        struct kmse_aws_section *section = sections;
        sections = section->next;
        while (section->entries != NULL) {
            struct kmse_aws_entry *entry = section->entries;
            section->entries = entry->next;
            kmse_aws_entry_free(entry);
        }
        free(section->name);
        free(section);
    }
}

struct kmse_aws_profiles *kmse_aws_profiles_new(void)
{
    return calloc(1, sizeof(struct kmse_aws_profiles));
}

void kmse_aws_profiles_free(struct kmse_aws_profiles *profiles)
{
    if (profiles == NULL)
        return;
    for (size_t i = 0; i < FILES; i++) {
        kmse_aws_sections_free(profiles->sections[i]);
        free(profiles->paths[i]);
    }
    free(profiles);
}

struct kmse_aws_section *
kmse_aws_section_find(struct kmse_aws_section *sections,
                      enum kmse_aws_section_kind kind, const char *name)
{
    while (sections != NULL
           && (sections->kind != kind || strcmp(sections->name, name) != 0))
        sections = sections->next;
    return sections;
}

struct kmse_aws_entry *
kmse_aws_entry_find(const struct kmse_aws_section *section, const char *key)
{
    struct kmse_aws_entry *entry = section->entries;
    while (entry != NULL && strcmp(entry->key, key) != 0)
        entry = entry->next;
    return entry;
}

kmse_st kmse_aws_profiles_parse(struct kmse_aws_profiles *profiles,
                                enum kmse_aws_file kind, const char *text,
                                size_t text_len, const char *origin,
                                struct kmse_why *why)
{
    struct kmse_aws_section *sections = NULL;
    if (strlen(text) != text_len)
        return kmse_fail(why, KMSE_R_CONFIG_VALUE, "%s: has a NUL in it",
                         origin);
    KMSE_TRY(kmse_aws_sections_parse(&sections, kind, text, origin, why));
    char *path = strdup(origin);
    if (path == NULL) {
        kmse_aws_sections_free(sections);
        return KMSE_ERR(KMSE_R_MEMORY);
    }
    kmse_aws_sections_free(profiles->sections[kind]);
    free(profiles->paths[kind]);
    profiles->sections[kind] = sections;
    profiles->paths[kind] = path;
    return KMSE_OK;
}

static const char *get(const struct kmse_aws_profiles *profiles,
                       enum kmse_aws_file file, enum kmse_aws_section_kind kind,
                       const char *name, const char *key)
{
    const struct kmse_aws_section *section =
        kmse_aws_section_find(profiles->sections[file], kind, name);
    const struct kmse_aws_entry *entry =
        section != NULL ? kmse_aws_entry_find(section, key) : NULL;
    return entry != NULL ? entry->value : NULL;
}

const char *kmse_aws_profiles_get(const struct kmse_aws_profiles *profiles,
                                  enum kmse_aws_file kind, const char *profile,
                                  const char *key)
{
    return get(profiles, kind, KMSE_AWS_PROFILE, profile, key);
}

const char *kmse_aws_profiles_value(const struct kmse_aws_profiles *profiles,
                                    const char *profile, const char *key)
{
    const char *value = kmse_aws_profiles_get(
        profiles, KMSE_AWS_CREDENTIALS_FILE, profile, key);
    if (value == NULL)
        value =
            kmse_aws_profiles_get(profiles, KMSE_AWS_CONFIG_FILE, profile, key);
    return value;
}

const char *kmse_aws_profiles_service(const struct kmse_aws_profiles *profiles,
                                      const char *services, const char *key)
{
    return get(profiles, KMSE_AWS_CONFIG_FILE, KMSE_AWS_SERVICES, services,
               key);
}

bool kmse_aws_profiles_has_services(const struct kmse_aws_profiles *profiles,
                                    const char *services)
{
    return kmse_aws_section_find(profiles->sections[KMSE_AWS_CONFIG_FILE],
                                 KMSE_AWS_SERVICES, services)
           != NULL;
}

bool kmse_aws_profiles_has(const struct kmse_aws_profiles *profiles,
                           const char *profile)
{
    for (size_t i = 0; i < FILES; i++)
        if (kmse_aws_section_find(profiles->sections[i], KMSE_AWS_PROFILE,
                                  profile)
            != NULL)
            return true;
    return false;
}

const char *kmse_aws_profiles_path(const struct kmse_aws_profiles *profiles,
                                   enum kmse_aws_file kind)
{
    return profiles->paths[kind] != NULL ? profiles->paths[kind] : "";
}
