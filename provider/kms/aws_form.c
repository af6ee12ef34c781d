/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of requests to AWS's query services. */
#include "kms/aws_form.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* RFC 3986, 2.3, whatever the host's locale is. */
static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
           || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'
           || c == '~';
}

static void put(struct kmse_aws_form *form, char c)
{
    form->text[form->len++] = c;
    form->text[form->len] = '\0';
}

static void put_encoded(struct kmse_aws_form *form, const char *text)
{
    static const char HEX[] = "0123456789ABCDEF";
    enum { NIBBLE = 4, LOW = 15 };
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (is_unreserved(*text)) {
            put(form, *text);
            continue;
        }
        put(form, '%');
        put(form, HEX[byte >> NIBBLE]);
        put(form, HEX[byte & LOW]);
    }
}

static void put_field(struct kmse_aws_form *form,
                      const struct kmse_aws_field *field)
{
    if (field->value == NULL)
        return;
    if (form->len > 0)
        put(form, '&');
    put_encoded(form, field->name);
    put(form, '=');
    put_encoded(form, field->value);
}

/* At most: an encoded letter is three. */
static size_t size_of(const struct kmse_aws_field *field)
{
    enum { ENCODED = 3 };
    if (field->value == NULL)
        return 0;
    return strlen("&=")
           + ENCODED * (strlen(field->name) + strlen(field->value));
}

/* In one block of its final size: growing would leave copies behind. */
kmse_st kmse_aws_form_print(struct kmse_aws_form *form,
                            const struct kmse_aws_field *fields, size_t count)
{
    struct kmse_aws_form made = {.size = 1};
    for (size_t i = 0; i < count; i++)
        made.size += size_of(&fields[i]);
    made.text = malloc(made.size);
    if (made.text == NULL)
        return KMSE_ERR(KMSE_R_MEMORY);
    made.text[0] = '\0';
    for (size_t i = 0; i < count; i++)
        put_field(&made, &fields[i]);
    *form = made;
    return KMSE_OK;
}

void kmse_aws_form_wipe(struct kmse_aws_form *form)
{
    if (form->text != NULL)
        OPENSSL_cleanse(form->text, form->size);
    free(form->text);
    *form = (struct kmse_aws_form){0};
}
