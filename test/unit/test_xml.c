/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of XML documents: what is read, and what is refused. */
#include "kms/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { OUT_LEN = 8 };

static const char PATH[] = "a/b";

static kmse_st read_one(const char *xml, size_t xml_len, char out[OUT_LEN],
                        bool *found)
{
    struct kmse_xml_text text = {
        .path = PATH, .out = out, .out_size = OUT_LEN, .found = true};
    memset(out, 'x', OUT_LEN);
    kmse_st st = kmse_xml_texts(xml, xml_len, &text, 1);
    *found = text.found;
    return st;
}

/* text NULL: no such element. */
static const struct {
    const char *xml, *text;
} READ[] = {
    {"<a><b>t</b></a>", "t"},
    {"<?xml version=\"1.0\"?>\n<a>\n <b>t</b>\n</a>\n", "t"},
    {"<?xml version=\"1.0\" encoding=\"UTF-16\"?><a><b>t</b></a>", "t"},
    {"\xef\xbb\xbf<a><b>t</b></a>", "t"},
    {"<a xmlns=\"https://h/doc/\"><b>t</b></a>", "t"},
    {"<n:a xmlns:n=\"u\"><n:b>t</n:b></n:a>", "t"},
    {"<a><b>1234567</b></a>", "1234567"},
    {"<a><b> t </b></a>", " t "},
    {"<a><b></b></a>", ""},
    {"<a><b/></a>", ""},
    {"<a><b>&lt;&gt;&amp;&quot;&apos;</b></a>", "<>&\"'"},
    {"<a><b>&#65;&#x42;</b></a>", "AB"},
    {"<a><b><![CDATA[<&]]>c</b></a>", "<&c"},
    {"<a><b>t<!-- c -->u<?p i?>v</b></a>", "tuv"},
    {"<a><b>\xc3\xa9</b></a>", "\xc3\xa9"},
    {"<a><c>n</c><b>t</b><d><b>n</b></d></a>", "t"},
    {"<a/>", NULL},
    {"<b>t</b>", NULL},
    {"<a><c><b>t</b></c></a>", NULL},
    {"<x><a><b>t</b></a></x>", NULL},
    {"<a><B>t</B></a>", NULL},
    {"<a><bb>t</bb></a>", NULL},
};

static void texts_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(READ); i++) {
        char out[OUT_LEN];
        bool found = false;
        kmse_st st = read_one(READ[i].xml, strlen(READ[i].xml), out, &found);
        const char *text = READ[i].text != NULL ? READ[i].text : "";
        if (!kmse_is_ok(st) || found != (READ[i].text != NULL)
            || strcmp(out, text) != 0)
            fail_msg("row %zu: %s: %s", i, READ[i].xml,
                     kmse_reason_text(st.reason));
    }
}

static const char *const REFUSED[] = {
    "",
    " ",
    "text",
    "{\"a\": 1}",
    "<a><b>t</b>",
    "<a><b>t</a></b>",
    "<a><b>t</b></a><a/>",
    "<a><b>t</b></a>x",
    "<a><b>t</b><b>u</b></a>",
    "<a><b>t<c/></b></a>",
    "<a><b>12345678</b></a>",
    "<a><b>1234</b></a><!-- an end that is not -",
    "<a><b>&e;</b></a>",
    "<a><b>&#0;</b></a>",
    "<a><b>\x01</b></a>",
    "<a><b>\xff</b></a>",
    "<a><n:b>t</n:b></a>",
    "<!DOCTYPE a><a><b>t</b></a>",
    "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a><b>t</b></a>",
    "<!DOCTYPE a [<!ENTITY e \"t\">]><a><b>&e;</b></a>",
    "<!DOCTYPE a [<!ENTITY e SYSTEM \"/etc/passwd\">]><a><b>&e;</b></a>",
    "<html><head><title>502</title></head><body><hr></body></html>",
};

static void expect_refused(const char *what, const char *xml, size_t xml_len)
{
    static const char ZEROS[OUT_LEN];
    char out[OUT_LEN];
    bool found = true;
    kmse_st st = read_one(xml, xml_len, out, &found);
    if (st.reason != KMSE_R_KMS_ANSWER || found
        || memcmp(out, ZEROS, sizeof(out)) != 0)
        fail_msg("%s: %s", what, kmse_reason_text(st.reason));
}

static void the_rest_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(REFUSED); i++)
        expect_refused(REFUSED[i], REFUSED[i], strlen(REFUSED[i]));
    expect_refused("a NUL", "<a><b>t\0</b></a>",
                   sizeof("<a><b>t\0</b></a>") - 1);
    expect_refused("a NUL behind", "<a><b>t</b></a>",
                   sizeof("<a><b>t</b></a>"));
}

static void every_truncation_is_refused(void **state)
{
    static const char XML[] = "<a x='1'><b>t&amp;u</b><c/></a>";
    (void)state;
    for (size_t len = 0; len < sizeof(XML) - 1; len++) {
        char *cut = malloc(len + 1); /* of that size: a sanitizer sees more */
        assert_non_null(cut);
        memcpy(cut, XML, len);
        expect_refused("cut", cut, len);
        free(cut);
    }
}

/* Either as it was, or not at all. */
static void no_flipped_bit_makes_another_of_two(void **state)
{
    static const char XML[] = "<a><b>1</b><c>2</c></a>";
    char changed[sizeof(XML)], b[OUT_LEN], c[OUT_LEN];
    (void)state;
    for (size_t bit = 0; bit < 8 * (sizeof(XML) - 1); bit++) {
        struct kmse_xml_text texts[] = {{"a/b", b, sizeof(b), false},
                                        {"a/c", c, sizeof(c), false}};
        memcpy(changed, XML, sizeof(XML));
        changed[bit / 8] ^= (char)(1 << bit % 8);
        kmse_st st = kmse_xml_texts(changed, sizeof(XML) - 1, texts, 2);
        assert_true(kmse_is_ok(st) || (!texts[0].found && !texts[1].found));
        assert_true(kmse_is_ok(st) || (b[0] == '\0' && c[0] == '\0'));
        assert_true(!texts[0].found || strcmp(b, "2") != 0 || bit / 8 == 6);
    }
}

static char *nested(unsigned depth)
{
    char *xml = calloc(1, depth * strlen("<a></a>") + 1);
    assert_non_null(xml);
    for (unsigned i = 0; i < depth; i++)
        memcpy(xml + i * strlen("<a>"), "<a>", strlen("<a>"));
    for (unsigned i = 0; i < depth; i++)
        memcpy(xml + strlen(xml), "</a>", strlen("</a>"));
    return xml;
}

static void depth_and_length_have_an_end(void **state)
{
    char out[OUT_LEN];
    bool found = false;
    char *deepest = nested(KMSE_XML_DEPTH_MAX);
    char *deeper = nested(KMSE_XML_DEPTH_MAX + 1);
    char *longest = malloc(KMSE_XML_MAX + 1);
    (void)state;
    expect_ok(read_one(deepest, strlen(deepest), out, &found));
    expect_refused("deep", deeper, strlen(deeper));
    assert_non_null(longest);
    memset(longest, ' ', KMSE_XML_MAX + 1);
    memcpy(longest, "<a><b>t</b></a>", strlen("<a><b>t</b></a>"));
    expect_ok(read_one(longest, KMSE_XML_MAX, out, &found));
    assert_string_equal(out, "t");
    expect_refused("long", longest, KMSE_XML_MAX + 1);
    free(longest);
    free(deeper);
    free(deepest);
}

/* Alone, and with that of the element it is in. */
static void long_names_are_refused(void **state)
{
    enum { NAME_LEN = 300 };
    char name[2 * NAME_LEN + 1], xml[7 * NAME_LEN];
    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    snprintf(xml, sizeof(xml), "<%s/>", name);
    expect_refused("a long name", xml, strlen(xml));
    name[NAME_LEN] = '\0';
    snprintf(xml, sizeof(xml), "<%s><%s/></%s>", name, name, name);
    expect_refused("two of them", xml, strlen(xml));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read),
        cmocka_unit_test(the_rest_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_flipped_bit_makes_another_of_two),
        cmocka_unit_test(depth_and_length_have_an_end),
        cmocka_unit_test(long_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
