/* SPDX-License-Identifier: Apache-2.0 */
/* A key whose versions end. */
#include "retire_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct kmse_why why;

void expect_done(kmse_st st)
{
    if (!kmse_is_ok(st))
        fail_msg("%s: %s", kmse_reason_text(st.reason), why.text);
}

void expect_said(kmse_st st, int reason, const char *words)
{
    if (kmse_is_ok(st))
        fail_msg("done, though \"%s\"", words);
    expect_reason(st, reason);
    if (strstr(why.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", why.text, words);
}

const struct kmse_rotation *with(void)
{
    return &ring_fixture.rotation;
}

int64_t now_s(void)
{
    return with()->clock->wall_s(with()->clock->arg);
}

void wait_s(int64_t seconds)
{
    ring_time_ms += (uint64_t)seconds * 1000;
}

kmse_st retire(uint32_t version)
{
    return kmse_rotation_retire(with(), NAME, version, &why);
}

kmse_st destroy(uint32_t version)
{
    return kmse_rotation_destroy(with(), NAME, version, &why);
}

kmse_st undo(uint32_t version)
{
    return kmse_rotation_undo_retire(with(), NAME, version, &why);
}

/* Rows of version 1 and 2. */
kmse_st count(const char *scope, uint64_t one, uint64_t two)
{
    const struct kmse_version_count counts[] = {{1, one}, {2, two}};
    const struct kmse_census census = {
        .scope = scope,
        .tool = TOOL,
        .taken_s = now_s(),
        .counts = counts,
        .count_count = 2,
    };
    return kmse_rotation_record_census(with(), NAME, &census, &why);
}

kmse_st read_with(uint32_t version)
{
    struct kmse_lease *lease = NULL;
    kmse_st st = kmse_lease_version(&lease, ring_key(), version, &why);
    kmse_lease_give_back(&lease);
    return st;
}

struct kmse_keyfile *read_file(void)
{
    struct kmse_keyfile *file = NULL;
    expect_done(
        kmse_keyfile_read(&file, ring_fixture.folder, NAME, NULL, &why));
    return file;
}

enum kmse_version_state state_of(uint32_t version)
{
    struct kmse_keyfile *file = read_file();
    enum kmse_version_state state = kmse_keyfile_find(file, version)->state;
    kmse_keyfile_free(file);
    return state;
}

char *read_bytes(void)
{
    char path[128];
    uint8_t *bytes = NULL;
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/%s.json", ring_fixture.folder, NAME);
    expect_done(kmse_file_read(path, 1 << 20, 0, &bytes, &len, &why));
    char *text = strndup((const char *)bytes, len);
    assert_non_null(text);
    kmse_file_free_bytes(bytes, len);
    return text;
}

void expect_unchanged(char *before)
{
    char *after = read_bytes();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* Version 1 was followed by 2, long ago, and no row is left of it. */
void make_retirable(void)
{
    ring_rotate(0);
    wait_s(3600);
    expect_done(count(SCOPE, 0, 1000));
}

void make_retired(void)
{
    make_retirable();
    expect_done(retire(1));
}

void make_destroyed(void)
{
    make_retired();
    wait_s(HOLD_S);
    expect_done(destroy(1));
}
