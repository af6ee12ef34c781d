/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: what is accepted prints, and is read again as the same. */
#include "fuzz.h"

#include "keyring/keyfile.h"

static const char NAME[] = "emails";
static const char ORIGIN[] = "the-file";

static void check_refusal(kmse_st st, const struct kmse_why *why)
{
    FUZZ_CHECK(st.reason == KMSE_R_KEYFILE_SYNTAX
               || st.reason == KMSE_R_KEYFILE_FIELD);
    FUZZ_CHECK(strncmp(why->text, ORIGIN, sizeof(ORIGIN) - 1) == 0);
    for (const char *at = why->text; *at != '\0'; at++)
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
}

static void check_censuses(const struct kmse_keyfile *file)
{
    FUZZ_CHECK(file->census_count <= KMSE_CENSUSES_MAX);
    for (size_t i = 0; i < file->census_count; i++) {
        const struct kmse_census_record *census = &file->censuses[i];
        FUZZ_CHECK(kmse_census_text_is_valid(census->scope, KMSE_SCOPE_MAX));
        FUZZ_CHECK(
            kmse_census_text_is_valid(census->tool, KMSE_CENSUS_TOOL_MAX));
        FUZZ_CHECK(kmse_keyfile_census(file, census->scope) == census);
        FUZZ_CHECK(census->found_count > 0);
        FUZZ_CHECK(census->found_count <= file->version_count);
    }
}

static void check_end(const struct kmse_version *version)
{
    bool destroyed = version->state == KMSE_VERSION_DESTROYED;
    FUZZ_CHECK(version->destroyed_s == 0 || destroyed);
    FUZZ_CHECK(version->retired_s == 0 || destroyed
               || version->state == KMSE_VERSION_RETIRED);
}

/* What readers rely on without asking again. */
static void check_file(const struct kmse_keyfile *file)
{
    FUZZ_CHECK(strcmp(file->name, NAME) == 0);
    FUZZ_CHECK(file->version_count > 0);
    FUZZ_CHECK(file->policy.rotate_after_s <= KMSE_ROTATE_AFTER_MAX_S);
    FUZZ_CHECK(kmse_policy_census_fence(&file->policy)
               >= KMSE_CENSUS_FENCE_MIN_S);
    check_censuses(file);
    for (size_t i = 0; i < file->version_count; i++) {
        const struct kmse_version *version = &file->versions[i];
        FUZZ_CHECK(version->number == i + 1);
        check_end(version);
        FUZZ_CHECK((version->copy_count == 0)
                   == (version->state == KMSE_VERSION_DESTROYED));
        for (size_t j = 0; j < version->copy_count; j++) {
            FUZZ_CHECK(version->copies[j].kms[0] != '\0');
            FUZZ_CHECK(version->copies[j].blob.len > 0);
            FUZZ_CHECK(version->copies[j].blob.len <= KMSE_BLOB_MAX);
        }
    }
}

static void check_prints_the_same(const struct kmse_keyfile *file)
{
    char *first = NULL, *second = NULL;
    struct kmse_keyfile *again = NULL;
    struct kmse_why why = {.text = ""};
    FUZZ_OK(kmse_keyfile_print(&first, file));
    FUZZ_OK(
        kmse_keyfile_parse(&again, first, strlen(first), NAME, ORIGIN, &why));
    FUZZ_OK(kmse_keyfile_print(&second, again));
    FUZZ_CHECK(strcmp(first, second) == 0);
    kmse_keyfile_free(again);
    free(second);
    free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    struct kmse_keyfile *file = NULL;
    struct kmse_why why = {.text = ""};
    kmse_st st = kmse_keyfile_parse(&file, text, size, NAME, ORIGIN, &why);
    if (kmse_is_ok(st)) {
        check_file(file);
        check_prints_the_same(file);
    } else {
        FUZZ_CHECK(file == NULL);
        check_refusal(st, &why);
    }
    kmse_keyfile_free(file);
    free(text);
    return 0;
}
