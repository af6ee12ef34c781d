/* SPDX-License-Identifier: Apache-2.0 */
/* A key as a file: the DER of it, read and written in one place. */
#include "glue/pkey_form.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keyring/keyfile.h"
#include "keyring/ring.h"

static const char FORMAT[] = "kms-envelope reference 1";
enum {
    FORMAT_LEN = sizeof(FORMAT) - 1,
    TAG_SEQUENCE = 0x30,
    TAG_UTF8 = 0x0C,
    TAG_OCTETS = 0x04,
    LENGTH_LONG = 0x80, /* the bits below count the bytes of the length */
    LENGTH_BYTES_MAX = 3,
    HEADER_MAX = 2 + LENGTH_BYTES_MAX, /* of one value: tag and length */
    FORM_REST_MAX = 256,               /* all but the key file */
};
static_assert(HEADER_MAX + 2 + FORMAT_LEN == KMSE_FORM_HEAD_LEN, "the head");
static_assert(KMSE_FORM_MAX < 1 << 24, "a length has three bytes");

/* --- reading DER -------------------------------------------------------- */

struct der {
    const uint8_t *at;
    size_t left;
};

/* X.690, 10.1: in as few bytes as there can be. */
static bool read_length(struct der *in, size_t *len)
{
    if (in->left == 0)
        return false;
    size_t count = 0, value = in->at[0];
    if (value >= LENGTH_LONG) {
        count = value - LENGTH_LONG;
        value = 0;
    }
    if (count > LENGTH_BYTES_MAX || in->left - 1 < count)
        return false;
    for (size_t i = 1; i <= count; i++)
        value = value << 8 | in->at[i];
    bool is_shortest = count == 0 || value >> (8 * (count - 1)) != 0;
    if (!is_shortest || (count == 1 && value < LENGTH_LONG)
        || in->at[0] == LENGTH_LONG)
        return false;
    in->at += 1 + count;
    in->left -= 1 + count;
    *len = value;
    return true;
}

static bool read_header(struct der *in, uint8_t tag, size_t *len)
{
    if (in->left == 0 || in->at[0] != tag)
        return false;
    in->at++;
    in->left--;
    return read_length(in, len);
}

static bool read_value(struct der *in, uint8_t tag, struct der *value)
{
    size_t len = 0;
    if (!read_header(in, tag, &len) || len > in->left)
        return false;
    *value = (struct der){.at = in->at, .left = len};
    in->at += len;
    in->left -= len;
    return true;
}

static bool read_format(struct der *in)
{
    struct der format;
    return read_value(in, TAG_UTF8, &format) && format.left == FORMAT_LEN
           && memcmp(format.at, FORMAT, FORMAT_LEN) == 0;
}

bool kmse_pkey_form_head(const uint8_t head[KMSE_FORM_HEAD_LEN],
                         size_t *total_len)
{
    struct der in = {.at = head, .left = KMSE_FORM_HEAD_LEN};
    size_t len = 0;
    if (!read_header(&in, TAG_SEQUENCE, &len) || len > KMSE_FORM_MAX
        || !read_format(&in))
        return false;
    struct der all = {.at = head, .left = KMSE_FORM_HEAD_LEN};
    if (!read_header(&all, TAG_SEQUENCE, &len))
        return false;
    *total_len = (size_t)(all.at - head) + len;
    return *total_len > KMSE_FORM_HEAD_LEN;
}

/* --- reading a key ------------------------------------------------------ */

void kmse_pkey_form_wipe(struct kmse_pkey_form *form)
{
    free(form->key_file);
    *form = (struct kmse_pkey_form){0};
}

static kmse_st bad_form(const char *problem, struct kmse_why *why)
{
    return kmse_fail(why, KMSE_R_ENCODING, "not a key as a file: %s", problem);
}

/* One key, in the one way that it is written. */
static kmse_st take_reference(struct kmse_pkey_form *form, struct der text,
                              struct kmse_why *why)
{
    char uri[KMSE_REFERENCE_LEN] = "", again[KMSE_REFERENCE_LEN];
    if (text.left >= sizeof(uri) || memchr(text.at, '\0', text.left) != NULL)
        return bad_form("no reference to a key", why);
    memcpy(uri, text.at, text.left);
    KMSE_TRY(kmse_reference_parse(&form->reference, uri, why));
    kmse_reference_print(again, &form->reference);
    if (form->reference.name[0] == '\0' || form->reference.with_copies
        || strcmp(uri, again) != 0)
        return bad_form("no reference to one key", why);
    return KMSE_OK;
}

static kmse_st check_key_file(const struct kmse_pkey_form *form,
                              const struct kmse_keyfile *file,
                              struct kmse_why *why)
{
    uint32_t version = form->reference.version;
    if (memcmp(form->id, file->id, KMSE_KEY_ID_LEN) != 0)
        return bad_form("its key file has another id", why);
    if (version != 0 && kmse_keyfile_find(file, version) == NULL)
        return bad_form("its key file does not have that version", why);
    return KMSE_OK;
}

static kmse_st take_key_file(struct kmse_pkey_form *form, struct der json,
                             struct kmse_why *why)
{
    struct kmse_keyfile *file = NULL;
    form->key_file = strndup((const char *)json.at, json.left);
    if (form->key_file == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    form->key_file_len = json.left;
    form->reference.with_copies = true;
    KMSE_TRY(kmse_keyfile_parse(&file, form->key_file, json.left,
                                form->reference.name, KMSE_CARRIED_ORIGIN,
                                why));
    kmse_st st = check_key_file(form, file, why);
    kmse_keyfile_free(file);
    return st;
}

static kmse_st read_form(struct kmse_pkey_form *form, struct der in,
                         struct kmse_why *why)
{
    struct der all, uri, id, json;
    if (!read_value(&in, TAG_SEQUENCE, &all) || in.left != 0)
        return bad_form("not its DER", why);
    if (!read_format(&all))
        return bad_form("an unknown format; was it written by a newer release?",
                        why);
    if (!read_value(&all, TAG_UTF8, &uri) || !read_value(&all, TAG_OCTETS, &id)
        || id.left != KMSE_KEY_ID_LEN)
        return bad_form("not its DER", why);
    KMSE_TRY(take_reference(form, uri, why));
    memcpy(form->id, id.at, KMSE_KEY_ID_LEN);
    if (all.left == 0)
        return KMSE_OK;
    if (!read_value(&all, TAG_OCTETS, &json) || all.left != 0)
        return bad_form("not its DER", why);
    return take_key_file(form, json, why);
}

kmse_st kmse_pkey_form_parse(struct kmse_pkey_form *form, const uint8_t *der,
                             size_t der_len, struct kmse_why *why)
{
    struct kmse_pkey_form read = {.key_file = NULL};
    if (der_len > KMSE_FORM_MAX)
        return bad_form("too long", why);
    kmse_st st =
        read_form(&read, (struct der){.at = der, .left = der_len}, why);
    if (!kmse_is_ok(st)) {
        kmse_pkey_form_wipe(&read);
        return st;
    }
    *form = read;
    return KMSE_OK;
}

/* --- writing ------------------------------------------------------------ */

static size_t header_len(size_t len)
{
    size_t bytes = 2;
    if (len >= LENGTH_LONG)
        bytes++;
    if (len > 0xFF)
        bytes++;
    if (len > 0xFFFF)
        bytes++;
    return bytes;
}

static uint8_t *put_header(uint8_t *out, uint8_t tag, size_t len)
{
    size_t count = header_len(len) - 2;
    *out++ = tag;
    *out++ = (uint8_t)(count == 0 ? len : LENGTH_LONG + count);
    for (size_t i = count; i > 0; i--)
        *out++ = (uint8_t)(len >> (8 * (i - 1)));
    return out;
}

static uint8_t *put_value(uint8_t *out, uint8_t tag, const void *bytes,
                          size_t len)
{
    out = put_header(out, tag, len);
    memcpy(out, bytes, len);
    return out + len;
}

static size_t value_len(size_t len)
{
    return header_len(len) + len;
}

kmse_st kmse_pkey_form_print(uint8_t **der, size_t *der_len,
                             const struct kmse_pkey_form *form)
{
    char uri[KMSE_REFERENCE_LEN];
    struct kmse_reference reference = form->reference;
    reference.with_copies = false; /* the key file says so */
    kmse_reference_print(uri, &reference);
    if (form->key_file_len > KMSE_FORM_MAX - FORM_REST_MAX)
        return KMSE_ERR(KMSE_R_ENCODING);

    size_t len = value_len(FORMAT_LEN) + value_len(strlen(uri))
                 + value_len(KMSE_KEY_ID_LEN);
    if (form->key_file != NULL)
        len += value_len(form->key_file_len);
    uint8_t *made = malloc(value_len(len));
    if (made == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    uint8_t *at = put_header(made, TAG_SEQUENCE, len);
    at = put_value(at, TAG_UTF8, FORMAT, FORMAT_LEN);
    at = put_value(at, TAG_UTF8, uri, strlen(uri));
    at = put_value(at, TAG_OCTETS, form->id, KMSE_KEY_ID_LEN);
    if (form->key_file != NULL)
        put_value(at, TAG_OCTETS, form->key_file, form->key_file_len);
    *der = made;
    *der_len = value_len(len);
    return KMSE_OK;
}
