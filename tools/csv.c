/* SPDX-License-Identifier: Apache-2.0 */
/* One column of CSV (RFC 4180), fed in pieces, in constant memory. */
#include "tools/tally.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { AT_START, IN_FIELD, IN_QUOTES, AFTER_QUOTE };
enum { NUMBER_DIGITS_MAX = 5 };

static kmse_st bad_row(const struct kmse_csv *csv, struct kmse_why *why,
                       const char *problem)
{
    return kmse_fail(why, KMSE_R_FILE, "row %" PRIu64 ": %s", csv->row,
                     problem);
}

kmse_st kmse_csv_init(struct kmse_csv *csv, struct kmse_tally *tally,
                      enum kmse_encoding encoding, const char *column,
                      struct kmse_why *why)
{
    size_t len = strlen(column);
    bool is_number = strspn(column, "0123456789") == len;
    unsigned long number = is_number ? strtoul(column, NULL, 10) : 0;
    if (len == 0 || len >= KMSE_CSV_NAME_MAX
        || (is_number && (number == 0 || len > NUMBER_DIGITS_MAX)))
        return kmse_fail(why, KMSE_R_PARAMETER,
                         "--column %.40s: not a name, nor a number from 1 to "
                         "99999",
                         column);
    *csv = (struct kmse_csv){
        .tally = tally,
        .encoding = encoding,
        .column = is_number ? NULL : column,
        .wanted = is_number ? number - 1 : SIZE_MAX,
        .row = 1,
    };
    return KMSE_OK;
}

/* --- fields and rows ---------------------------------------------------- */

/* How much of this field is looked at: a name, a value's head, or nothing. */
static size_t wanted_len(const struct kmse_csv *csv)
{
    if (csv->column != NULL)
        return sizeof(csv->head);
    return csv->field == csv->wanted ? KMSE_HEAD_LEN : 0;
}

static void put(struct kmse_csv *csv, char c)
{
    if (csv->head_len < wanted_len(csv))
        csv->head[csv->head_len] = c;
    csv->head_len++;
}

/* A byte order mark is no part of the first name. */
static bool is_named(const struct kmse_csv *csv)
{
    static const char MARK[] = "\xef\xbb\xbf";
    const char *head = csv->head;
    size_t len = csv->head_len, mark_len = sizeof(MARK) - 1;
    if (csv->field == 0 && len >= mark_len
        && memcmp(head, MARK, mark_len) == 0) {
        head += mark_len;
        len -= mark_len;
    }
    return csv->head_len <= sizeof(csv->head) && len == strlen(csv->column)
           && memcmp(head, csv->column, len) == 0;
}

static kmse_st end_field(struct kmse_csv *csv, struct kmse_why *why)
{
    if (csv->column != NULL && is_named(csv)) {
        if (csv->wanted != SIZE_MAX)
            return bad_row(csv, why, "two columns have that name");
        csv->wanted = csv->field;
    } else if (csv->field == csv->wanted) {
        csv->value_len = csv->head_len < sizeof(csv->value)
                             ? csv->head_len
                             : sizeof(csv->value);
        memcpy(csv->value, csv->head, csv->value_len);
    }
    csv->field++;
    csv->head_len = 0;
    csv->state = AT_START;
    return KMSE_OK;
}

static kmse_st end_row(struct kmse_csv *csv, struct kmse_why *why)
{
    bool is_empty =
        csv->field == 0 && csv->head_len == 0 && csv->state == AT_START;
    KMSE_TRY(end_field(csv, why));
    if (csv->column != NULL) {
        if (csv->wanted == SIZE_MAX)
            return bad_row(csv, why, "no column has that name");
        csv->column = NULL;
    } else if (!is_empty) {
        if (csv->field <= csv->wanted)
            return bad_row(csv, why, "it has no such column");
        if (csv->value_len > 0)
            kmse_tally_add_text(csv->tally, csv->encoding, csv->value,
                                csv->value_len);
    }
    csv->value_len = 0;
    csv->field = 0;
    csv->row++;
    return KMSE_OK;
}

/* --- characters --------------------------------------------------------- */

static kmse_st outside_quotes(struct kmse_csv *csv, char c,
                              struct kmse_why *why)
{
    if (csv->after_cr && c != '\n')
        return bad_row(csv, why, "a carriage return within a field");
    csv->after_cr = c == '\r';
    if (c == '\r')
        return KMSE_OK;
    if (c == ',')
        return end_field(csv, why);
    if (c == '\n')
        return end_row(csv, why);
    if (c == '"' && csv->state == AT_START) {
        csv->state = IN_QUOTES;
        return KMSE_OK;
    }
    if (c == '"' || csv->state == AFTER_QUOTE)
        return bad_row(csv, why, "a quote within a field, or text behind it");
    csv->state = IN_FIELD;
    put(csv, c);
    return KMSE_OK;
}

static kmse_st take(struct kmse_csv *csv, char c, struct kmse_why *why)
{
    if (csv->state == IN_QUOTES && c == '"') {
        csv->state = AFTER_QUOTE;
    } else if (csv->state == IN_QUOTES) {
        put(csv, c);
    } else if (csv->state == AFTER_QUOTE && c == '"' && !csv->after_cr) {
        csv->state = IN_QUOTES;
        put(csv, c);
    } else {
        return outside_quotes(csv, c, why);
    }
    return KMSE_OK;
}

/* Where the next character is that ends what nobody looks at. */
static const char *skip(const struct kmse_csv *csv, const char *at,
                        const char *end)
{
    if (csv->head_len < wanted_len(csv))
        return at;
    if (csv->state == IN_QUOTES) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        return quote != NULL ? quote : end;
    }
    if (csv->state != IN_FIELD || csv->after_cr)
        return at;
    while (at < end && *at != ',' && *at != '\n' && *at != '\r' && *at != '"')
        at++;
    return at;
}

kmse_st kmse_csv_feed(struct kmse_csv *csv, const char *text, size_t len,
                      struct kmse_why *why)
{
    const char *end = text + len;
    while (text < end) {
        const char *next = skip(csv, text, end);
        csv->head_len += (size_t)(next - text);
        text = next;
        if (text < end)
            KMSE_TRY(take(csv, *text++, why));
    }
    return KMSE_OK;
}

kmse_st kmse_csv_end(struct kmse_csv *csv, struct kmse_why *why)
{
    if (csv->state == IN_QUOTES)
        return bad_row(csv, why, "a quote is open at the end");
    if (csv->after_cr || csv->state != AT_START || csv->field > 0)
        KMSE_TRY(end_row(csv, why));
    csv->after_cr = false;
    if (csv->column != NULL)
        return bad_row(csv, why, "no column has that name");
    return KMSE_OK;
}
