/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of time: what is accepted means what it says. */
#include "fuzz.h"

#include <inttypes.h>

#include "tools/duration.h"

static int64_t unit_of(char letter)
{
    switch (letter) {
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    default:
        return 1;
    }
}

/* The text again, from the number: its digits without zeros before them. */
static void check_means_what_it_says(int64_t seconds, const char *text)
{
    char digits[32];
    int64_t unit = unit_of(text[strlen(text) - 1]);
    size_t zeros = strspn(text, "0");
    if (zeros > 0 && strspn(text, "0123456789") == zeros)
        zeros--;
    int len = snprintf(digits, sizeof(digits), "%" PRId64, seconds / unit);
    FUZZ_CHECK(seconds % unit == 0);
    FUZZ_CHECK(strncmp(text + zeros, digits, (size_t)len) == 0);
    const char *rest = text + zeros + len;
    FUZZ_CHECK(rest[0] == '\0'
               || (strchr("smhd", rest[0]) != NULL && rest[1] == '\0'));
}

static void check_is_read_again(int64_t seconds)
{
    char text[KMSE_DURATION_LEN];
    int64_t again = -1;
    kmse_duration_print(text, seconds);
    FUZZ_OK(kmse_duration_parse(&again, text));
    FUZZ_CHECK(again == seconds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    int64_t seconds = -1;
    kmse_st st = kmse_duration_parse(&seconds, text);
    if (kmse_is_ok(st)) {
        FUZZ_CHECK(seconds >= 0 && seconds <= KMSE_DURATION_MAX_S);
        check_means_what_it_says(seconds, text);
        check_is_read_again(seconds);
    } else {
        FUZZ_CHECK(st.reason == KMSE_R_PARAMETER);
        FUZZ_CHECK(seconds == -1);
    }
    free(text);
    return 0;
}
