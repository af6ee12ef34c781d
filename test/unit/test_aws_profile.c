/* SPDX-License-Identifier: Apache-2.0 */
/* AWS's shared configuration files: a table of texts, and what is in them. */
#include "kms/aws_profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/aws_words.h"
#include "test.h"

#define COUNT(table)   (sizeof(table) / sizeof((table)[0]))
#define IN_CREDENTIALS KMSE_AWS_CREDENTIALS_FILE
#define IN_CONFIG      KMSE_AWS_CONFIG_FILE

static const char ORIGIN[] = "/etc/aws/file";

/* --- what is read ------------------------------------------------------- */

/* value NULL: the key, or the profile, is not there. */
static const struct {
    enum kmse_aws_file file;
    const char *text, *profile, *key, *value;
} READ[] = {
    {IN_CONFIG, "", "default", "region", NULL},
    {IN_CONFIG, "[default]\nregion = r\n", "default", "region", "r"},
    {IN_CONFIG, "[default]\nregion=r", "default", "region", "r"},
    {IN_CONFIG, "[default]\r\nregion = r\r\n", "default", "region", "r"},
    {IN_CONFIG, "[default]\nregion : r\n", "default", "region", "r"},
    {IN_CONFIG, "[default]\nregion = a=b:c\n", "default", "region", "a=b:c"},
    {IN_CONFIG, "[default]\nregion =\n", "default", "region", ""},
    {IN_CONFIG, "[default]\n\tregion\t=\tr \t\n", "default", "region", "r"},
    {IN_CONFIG, "[default]\nREGION = R\n", "default", "region", "R"},
    {IN_CONFIG, "[default]\nregion = \xc3\xa9\n", "default", "region",
     "\xc3\xa9"},
    {IN_CONFIG, "# c\n; c\n  # c\n[default]\n#region = x\nregion = r\n",
     "default", "region", "r"},
    {IN_CONFIG, "[default]\nregion = r # c\n", "default", "region", "r"},
    {IN_CONFIG, "[default]\nregion = r\t; c # d\n", "default", "region", "r"},
    {IN_CONFIG, "[default]\nregion = r#s;t\n", "default", "region", "r#s;t"},
    {IN_CONFIG, "[default]\nregion =#r\n", "default", "region", "#r"},
    {IN_CONFIG, "[default]\nregion = # c\n", "default", "region", ""},

    /* Names of sections. */
    {IN_CONFIG, "[default] # c\na = 1\n", "default", "a", "1"},
    {IN_CONFIG, "[profile default]\na = 1\n", "default", "a", "1"},
    {IN_CONFIG, "[profile x]\na = 1\n", "x", "a", "1"},
    {IN_CONFIG, "[profile  \t x]\na = 1\n", "x", "a", "1"},
    {IN_CONFIG, "[profile \"x y\"]\na = 1\n", "x y", "a", "1"},
    {IN_CONFIG, "[profile 'x y']\na = 1\n", "x y", "a", "1"},
    {IN_CONFIG, "[profile x\\ y]\na = 1\n", "x y", "a", "1"},
    {IN_CONFIG, "[ profile x ]\na = 1\n", "x", "a", "1"},
    {IN_CONFIG, "[x]\na = 1\n", "x", "a", NULL},
    {IN_CONFIG, "[profile x y]\na = 1\n", "x", "a", NULL},
    {IN_CONFIG, "[profile \"x]\na = 1\n", "x", "a", NULL},
    {IN_CONFIG, "[profile]\na = 1\n", "profile", "a", NULL},
    {IN_CONFIG, "[profiles x]\na = 1\n", "x", "a", NULL},
    {IN_CONFIG, "[sso-session x]\na = 1\n", "x", "a", NULL},
    {IN_CONFIG, "[services x]\na = 1\n", "x", "a", NULL},
    {IN_CONFIG, "[profile X]\na = 1\n", "x", "a", NULL},
    {IN_CREDENTIALS, "[x]\na = 1\n", "x", "a", "1"},
    {IN_CREDENTIALS, "[default]\na = 1\n", "default", "a", "1"},
    {IN_CREDENTIALS, "[profile x]\na = 1\n", "x", "a", NULL},
    {IN_CREDENTIALS, "[profile x]\na = 1\n", "profile x", "a", "1"},
    {IN_CREDENTIALS, "[x y]\na = 1\n", "x y", "a", "1"},
    {IN_CREDENTIALS, "[x]\na = 1\n[y]\na = 2\n", "x", "a", "1"},
    {IN_CREDENTIALS, "[x]\na = 1\n[y]\na = 2\n", "y", "a", "2"},

    /* Lines that go on, and keys in keys. */
    {IN_CONFIG, "[default]\na = 1\n  2\n\n # c\n\t3 # c\nb = 4\n", "default",
     "a", "1\n2\n3"},
    {IN_CONFIG, "[default]\na = 1\n  b = 2\n", "default", "b", NULL},
    {IN_CONFIG, "[default]\n  a = 1\n  b = 2\n", "default", "b", "2"},
    {IN_CONFIG, "[default]\n  a = 1\nb = 2\n", "default", "b", "2"},
    {IN_CONFIG, "[default]\na = 1\n  [x]\nb = 2\n", "default", "a", "1\n[x]"},
    {IN_CONFIG, "[default]\ns3 =\n  Max = 1\n\n  # c\n    min = 2 ; c\na = 3\n",
     "default", "s3.max", "1"},
    {IN_CONFIG, "[default]\ns3 =\n  max = 1\n\n  # c\n    min = 2 ; c\na = 3\n",
     "default", "s3.min", "2"},
    {IN_CONFIG, "[default]\ns3 =\n  max = 1\na = 3\n", "default", "a", "3"},
    {IN_CONFIG, "[default]\ns3 =\n  max = 1\n", "default", "max", NULL},
    {IN_CONFIG, "[default]\ns3 =\n  url = http://h:1\n", "default", "s3.url",
     "http://h:1"},
};

static void reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(READ); i++) {
        struct kmse_aws_profiles *profiles = kmse_aws_profiles_new();
        struct kmse_why why = {.text = ""};
        assert_non_null(profiles);
        kmse_st st =
            kmse_aws_profiles_parse(profiles, READ[i].file, READ[i].text,
                                    strlen(READ[i].text), ORIGIN, &why);
        const char *value = kmse_aws_profiles_get(profiles, READ[i].file,
                                                  READ[i].profile, READ[i].key);
        bool is_same = value == READ[i].value
                       || (value != NULL && READ[i].value != NULL
                           && strcmp(value, READ[i].value) == 0);
        if (!kmse_is_ok(st) || !is_same)
            fail_msg("row %zu: %s: \"%s\" (%s)", i, READ[i].text,
                     value != NULL ? value : "none", why.text);
        kmse_aws_profiles_free(profiles);
    }
}

/* --- what is refused ---------------------------------------------------- */

static const struct {
    enum kmse_aws_file file;
    const char *text, *why;
} REFUSED[] = {
    {IN_CONFIG, "a = 1\n", "line 1: a key before"},
    {IN_CONFIG, "\n\n# c\n\xef\xbb\xbf[default]\n", "line 4: a key before"},
    {IN_CONFIG, "[default]\na\n", "line 2: neither"},
    {IN_CONFIG, "[default]\n= 1\n", "line 2: neither"},
    {IN_CONFIG, "[default\na = 1\n", "line 1: a [section] without"},
    {IN_CONFIG, "[]\n", "line 1: not a [section]"},
    {IN_CONFIG, "[ ]\n", "line 1: not a [section]"},
    {IN_CONFIG, "[default] a = 1\n", "line 1: not a [section]"},
    {IN_CONFIG, "[default]\na = 1\nA = 2\n", "line 3: this key is given twice"},
    {IN_CONFIG, "[default]\n[x]\n[default]\n", "line 3: this section is there"},
    {IN_CONFIG, "[default]\n[profile default]\n", "line 2: this section is"},
    {IN_CONFIG, "[profile x]\n[profile 'x']\n", "line 2: this section is"},
    {IN_CONFIG, "[x]\n[x]\n", "line 2: this section is"},
    {IN_CREDENTIALS, "[x]\n[y]\n[x]\n", "line 3: this section is there twice"},
    {IN_CONFIG, "[DEFAULT]\na = 1\n", "line 1: write [default]"},
    {IN_CREDENTIALS, "[DEFAULT]\na = 1\n", "line 1: write [default]"},
    {IN_CONFIG, "[default]\ns3 =\n  max\n", "line 3: not a nested"},
    {IN_CONFIG, "[default]\ns3 =\n  max : 1\n", "line 3: not a nested"},
    {IN_CONFIG, "[default]\ns3 =\n  = 1\n", "line 3: not a nested"},
    {IN_CONFIG, "[default]\ns3 =\n  a = 1\n  a = 2\n", "line 4: this key"},
    {IN_CONFIG, "[default]\na = 1\x01\n", "line 2: a control character"},
    {IN_CONFIG, "[default]\na = 1\rb = 2\n", "line 2: a control character"},
};

static void expect_refused(size_t row, const struct kmse_aws_profiles *profiles,
                           kmse_st st, const struct kmse_why *why)
{
    if (st.reason != KMSE_R_CONFIG_VALUE
        || strncmp(why->text, ORIGIN, sizeof(ORIGIN) - 1) != 0
        || strstr(why->text, REFUSED[row].why) == NULL)
        fail_msg("row %zu: %s: %s", row, REFUSED[row].text, why->text);
    assert_string_equal(kmse_aws_profiles_path(profiles, REFUSED[row].file),
                        "before");
    assert_true(kmse_aws_profiles_has(profiles, "kept"));
}

/* And what was there before stays. */
static void refuses(void **state)
{
    static const char before[] = "[profile kept]\n[kept]\n";
    (void)state;
    for (size_t i = 0; i < COUNT(REFUSED); i++) {
        struct kmse_aws_profiles *profiles = kmse_aws_profiles_new();
        struct kmse_why why = {.text = ""};
        assert_non_null(profiles);
        expect_ok(kmse_aws_profiles_parse(profiles, REFUSED[i].file, before,
                                          sizeof(before) - 1, "before", &why));
        kmse_st st =
            kmse_aws_profiles_parse(profiles, REFUSED[i].file, REFUSED[i].text,
                                    strlen(REFUSED[i].text), ORIGIN, &why);
        expect_refused(i, profiles, st, &why);
        kmse_aws_profiles_free(profiles);
    }
}

/* A line may be a secret on its own: no message has words of it. */
static void messages_have_no_value(void **state)
{
    static const char *const texts[] = {
        "[default]\nSEKRIT\n", "SEKRIT = 1\n", "[default]\na=\n  SEKRIT\n",
        "[SEKRIT\n", "[default]\nSEKRIT=1\nSEKRIT=2\n"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct kmse_aws_profiles *profiles = kmse_aws_profiles_new();
        struct kmse_why why = {.text = ""};
        assert_non_null(profiles);
        expect_reason(kmse_aws_profiles_parse(profiles, IN_CREDENTIALS,
                                              texts[i], strlen(texts[i]),
                                              ORIGIN, &why),
                      KMSE_R_CONFIG_VALUE);
        assert_null(strstr(why.text, "SEKRIT"));
        kmse_aws_profiles_free(profiles);
    }
}

static void refuses_a_nul(void **state)
{
    static const char text[] = "[default]\na = 1\0\n";
    struct kmse_aws_profiles *profiles = kmse_aws_profiles_new();
    struct kmse_why why;
    (void)state;
    assert_non_null(profiles);
    expect_reason(kmse_aws_profiles_parse(profiles, IN_CONFIG, text,
                                          sizeof(text) - 1, ORIGIN, &why),
                  KMSE_R_CONFIG_VALUE);
    assert_non_null(strstr(why.text, "NUL"));
    kmse_aws_profiles_free(profiles);
}

/* Row after row of the format, as many as make text. */
static kmse_st parse_rows(const char *head, const char *format, unsigned rows)
{
    enum { ROW_MAX = 32 };
    size_t size = strlen(head) + rows * ROW_MAX + 1, used = strlen(head);
    char *text = malloc(size);
    struct kmse_aws_profiles *profiles = kmse_aws_profiles_new();
    assert_true(text != NULL && profiles != NULL);
    memcpy(text, head, used + 1);
    for (unsigned i = 0; i < rows; i++) {
        const char *mark = strchr(format, '?');
        used += (size_t)snprintf(text + used, size - used, "%.*s%u%s",
                                 (int)(mark - format), format, i, mark + 1);
    }
    kmse_st st =
        kmse_aws_profiles_parse(profiles, IN_CONFIG, text, used, ORIGIN, NULL);
    kmse_aws_profiles_free(profiles);
    free(text);
    return st;
}

static void has_limits(void **state)
{
    (void)state;
    expect_ok(parse_rows("[default]\n", "k? = 1\n", 1024));
    expect_reason(parse_rows("[default]\n", "k? = 1\n", 1025),
                  KMSE_R_CONFIG_VALUE);
    expect_ok(parse_rows("", "[profile p?]\n", 8192));
    expect_reason(parse_rows("", "[profile p?]\n", 8193), KMSE_R_CONFIG_VALUE);
}

/* Every cut of a file ends in one of the two ways, and leaks nothing. */
static void survives_cuts(void **state)
{
    static const char whole[] =
        "[profile \"a b\"]\nrole_arn = r # c\n  more\n[services s]\nkms =\n"
        "  endpoint_url = http://localhost:1\nsts =\n  endpoint_url=x\n";
    (void)state;
    for (size_t len = 0; len < sizeof(whole); len++) {
        char *text = strndup(whole, len);
        struct kmse_aws_profiles *profiles = kmse_aws_profiles_new();
        assert_true(text != NULL && profiles != NULL);
        kmse_st st = kmse_aws_profiles_parse(profiles, IN_CONFIG, text, len,
                                             ORIGIN, NULL);
        assert_true(kmse_is_ok(st) || st.reason == KMSE_R_CONFIG_VALUE);
        kmse_aws_profiles_free(profiles);
        free(text);
    }
}

/* --- lookups over both files -------------------------------------------- */

static void looks_up(void **state)
{
    static const char credentials[] = "[x]\na = 1\nb = 1\n[only]\n";
    static const char config[] = "[profile x]\na = 2\nc = 2\n[profile p]\n"
                                 "[services s]\nkms =\n  endpoint_url = u\n";
    struct kmse_aws_profiles *profiles = kmse_aws_profiles_new();
    (void)state;
    assert_non_null(profiles);
    assert_string_equal(kmse_aws_profiles_path(profiles, IN_CONFIG), "");
    expect_ok(kmse_aws_profiles_parse(profiles, IN_CREDENTIALS, credentials,
                                      sizeof(credentials) - 1, "one", NULL));
    expect_ok(kmse_aws_profiles_parse(profiles, IN_CONFIG, config,
                                      sizeof(config) - 1, "two", NULL));
    assert_string_equal(kmse_aws_profiles_value(profiles, "x", "a"), "1");
    assert_string_equal(kmse_aws_profiles_value(profiles, "x", "b"), "1");
    assert_string_equal(kmse_aws_profiles_value(profiles, "x", "c"), "2");
    assert_null(kmse_aws_profiles_value(profiles, "x", "d"));
    assert_true(kmse_aws_profiles_has(profiles, "x"));
    assert_true(kmse_aws_profiles_has(profiles, "p"));
    assert_true(kmse_aws_profiles_has(profiles, "only"));
    assert_false(kmse_aws_profiles_has(profiles, "s"));
    assert_true(kmse_aws_profiles_has_services(profiles, "s"));
    assert_false(kmse_aws_profiles_has_services(profiles, "x"));
    assert_string_equal(
        kmse_aws_profiles_service(profiles, "s", "kms.endpoint_url"), "u");
    assert_null(kmse_aws_profiles_service(profiles, "s", "sts.endpoint_url"));
    assert_null(kmse_aws_profiles_service(profiles, "t", "kms.endpoint_url"));
    assert_string_equal(kmse_aws_profiles_path(profiles, IN_CREDENTIALS),
                        "one");
    assert_string_equal(kmse_aws_profiles_path(profiles, IN_CONFIG), "two");
    kmse_aws_profiles_free(profiles);
    kmse_aws_profiles_free(NULL);
}

/* --- words -------------------------------------------------------------- */

/* joined: the words with '|' between them, as a shell cuts; NULL: refused. */
static const struct {
    const char *line, *joined;
} WORDS[] = {
    {"", ""},
    {" \t\n", ""},
    {"a", "a"},
    {" a  b\tc\nd ", "a|b|c|d"},
    {"'a b' \"c d\"", "a b|c d"},
    {"a'b'\"c\"d", "abcd"},
    {"'' \"\" x", "||x"},
    {"a\\ b \\'c \\\\", "a b|'c|\\"},
    {"\"a\\\"b\\\\c\\n\\$\"", "a\"b\\c\\n\\$"},
    {"'a\\b' 'c\"d'", "a\\b|c\"d"},
    {"\"it's\"", "it's"},
    {"$HOME *.c #x `y` $(z) >w", "$HOME|*.c|#x|`y`|$(z)|>w"},
    {"\xc3\xa9 b", "\xc3\xa9|b"},
    {"'a", NULL},
    {"\"a", NULL},
    {"\"a\\\"", NULL},
    {"a\\", NULL},
    {"\"a\\", NULL},
};

static void cuts_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(WORDS); i++) {
        struct kmse_aws_words words = {0};
        char joined[64] = "";
        kmse_st st = kmse_aws_words_split(&words, WORDS[i].line);
        if (WORDS[i].joined == NULL) {
            expect_reason(st, KMSE_R_ENCODING);
            assert_null(words.words);
            continue;
        }
        expect_ok(st);
        for (size_t j = 0; j < words.count; j++)
            snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined),
                     "%s%s", j > 0 ? "|" : "", words.words[j]);
        assert_string_equal(joined, WORDS[i].joined);
        assert_null(words.words[words.count]);
        kmse_aws_words_wipe(&words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(messages_have_no_value),
        cmocka_unit_test(refuses_a_nul),
        cmocka_unit_test(has_limits),
        cmocka_unit_test(survives_cuts),
        cmocka_unit_test(looks_up),
        cmocka_unit_test(cuts_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
