/* SPDX-License-Identifier: Apache-2.0 */
/* CSV and lines: counted as the same, in whatever pieces they come. */
#include "fuzz.h"

#include "tools/tally.h"

enum { VERSIONS = 3, PIECES = 3 };
static const size_t PIECE_LENS[PIECES] = {1, 7, SIZE_MAX};

static kmse_st count_csv(struct kmse_tally *tally, const char *column,
                         const char *text, size_t size, size_t piece)
{
    struct kmse_csv csv;
    struct kmse_why why = {.text = ""};
    FUZZ_OK(kmse_tally_init(tally, VERSIONS));
    FUZZ_OK(kmse_csv_init(&csv, tally, KMSE_HEX, column, &why));
    kmse_st st = KMSE_OK;
    for (size_t i = 0; kmse_is_ok(st) && i < size;
         i += piece < size - i ? piece : size - i)
        st = kmse_csv_feed(&csv, text + i, piece < size - i ? piece : size - i,
                           &why);
    if (kmse_is_ok(st))
        st = kmse_csv_end(&csv, &why);
    FUZZ_CHECK(kmse_is_ok(st) == (why.text[0] == '\0'));
    return st;
}

static kmse_st count_lines(struct kmse_tally *tally, const char *column,
                           const char *text, size_t size, size_t piece)
{
    struct kmse_lines lines = {
        .tally = tally,
        .encoding = column == NULL ? KMSE_BASE64 : KMSE_HEX,
    };
    FUZZ_OK(kmse_tally_init(tally, VERSIONS));
    for (size_t i = 0; i < size; i += piece < size - i ? piece : size - i)
        kmse_lines_feed(&lines, text + i, piece < size - i ? piece : size - i);
    kmse_lines_end(&lines);
    return KMSE_OK;
}

typedef kmse_st count_fn(struct kmse_tally *tally, const char *column,
                         const char *text, size_t size, size_t piece);

static bool same(const struct kmse_tally *a, const struct kmse_tally *b)
{
    return memcmp(a->counts, b->counts, VERSIONS * sizeof(*a->counts)) == 0
           && a->unknown == b->unknown && a->other == b->other
           && a->unknown_version == b->unknown_version;
}

static void check(count_fn *count, const char *column, const char *text,
                  size_t size)
{
    struct kmse_tally first, again;
    kmse_st st = count(&first, column, text, size, PIECE_LENS[0]);
    for (size_t i = 1; i < PIECES; i++) {
        kmse_st other = count(&again, column, text, size, PIECE_LENS[i]);
        FUZZ_CHECK(st.reason == other.reason);
        FUZZ_CHECK(!kmse_is_ok(st) || same(&first, &again));
        kmse_tally_wipe(&again);
    }
    kmse_tally_wipe(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    check(count_csv, "mail", text, size);
    check(count_csv, "2", text, size);
    check(count_lines, NULL, text, size);
    check(count_lines, "hex", text, size);
    free(text);
    return 0;
}
