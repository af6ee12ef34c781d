/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMSE_KMS_XML_H
#define KMSE_KMS_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 * Texts of an XML document, named by where their elements are. AWS's STS
 * answers in XML. The parser is expat, which is in the HTTP module (http.h):
 * kmse_xml_texts is called through it.
 */
struct kmse_xml_text {
    const char *path; /* of local names: "ErrorResponse/Error/Code" */
    char *out;
    size_t out_size;
    bool found; /* else out is "" */
};

enum { KMSE_XML_MAX = 65536, KMSE_XML_DEPTH_MAX = 16 };

/*
 * The document is UTF-8, whatever it says of itself, and well formed. There is
 * no document type in it, so no entity but XML's own, and nothing is deeper
 * than KMSE_XML_DEPTH_MAX. An element that is asked for is there at most once,
 * has no elements in it, and its text fits.
 * KMSE_R_KMS_ANSWER: not so. On failure nothing is found, each out is wiped.
 */
kmse_st kmse_xml_texts(const char *xml, size_t xml_len,
                       struct kmse_xml_text *texts,
                       size_t count) KMSE_MUST_CHECK;

#endif
