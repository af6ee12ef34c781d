#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes corpus/<target>/: what is right, and an example of each mistake.

Files of other names, as those of crashes, stay. Always writes the same.
"""
import base64
import copy
import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "vectors"))
import lookup

CORPUS = pathlib.Path(__file__).with_name("corpus")
TIME = "2026-01-01T00:00:00Z"


def duration():
    for name, text in (
            ("plain", "90"), ("seconds", "90s"), ("minutes", "10m"),
            ("hours", "2h"), ("days", "7d"), ("zero", "0"), ("zeros", "007m"),
            ("longest", "3660d"), ("longest-seconds", "316224000"),
            ("too-long", "3661d"), ("overflow", "99999999999999999999"),
            ("empty", ""), ("no-number", "d"), ("unknown-unit", "5w"),
            ("two-units", "1h30m"), ("negative", "-1"), ("space", " 1"),
            ("fraction", "1.5h"), ("nul-inside", "1\0h"), ("capital", "1H")):
        yield name, text.encode()


# --- messages: as fuzz_header.c seals them ----------------------------------

KEY, KEY_ID, AAD = (b"a key for fuzzing, 32 bytes long", b"an id, 16 bytes.",
                    b"row 42")
LENGTHS = (0, 1, 31, 32, 33, 100, 4200)
IN_PLACE, AAD_IN_HALVES = 1, 2


def message(i):
    bound, nonce = b"\x4b\0\0" + bytes([i + 1]), bytes([i]) + bytes(11)
    text = bytes(j & 255 for j in range(LENGTHS[i]))
    return bound + nonce + AESGCM(KEY).encrypt(
        nonce, text, b"kms-envelope" + KEY_ID + bound + AAD)


def header():
    def with_pieces(sealed, flags=0, pieces=()):
        return bytes((flags, len(pieces), *pieces)) + sealed

    for i, length in enumerate(LENGTHS):
        yield f"sealed-{length}", with_pieces(message(i))
    good = message(5)
    yield "in-place", with_pieces(good, IN_PLACE, (1, 16, 47))
    yield "byte-by-byte", with_pieces(good, AAD_IN_HALVES, (1,) * 15)
    yield "empty-pieces", with_pieces(good, 0, (0, 48, 0, 1, 0))
    yield "long-in-place", with_pieces(message(6), IN_PLACE | AAD_IN_HALVES,
                                       (255, 255, 16, 255))
    yield "empty", b""
    yield "pieces-cut", b"\0\x0f\1\1"
    for cut in (0, 1, 15, 16, 17, 31, 32, len(good) - 1):
        yield f"cut-at-{cut}", with_pieces(good[:cut])
    yield "longer", with_pieces(good + b"\0")
    yield "format", with_pieces(b"\x4c" + good[1:])
    yield "version-0", with_pieces(b"\x4b\0\0\0" + good[4:])
    for name, at in (("version", 3), ("nonce", 15), ("text", 16),
                     ("tag", len(good) - 1)):
        changed = good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]
        yield f"other-{name}", with_pieces(changed, 0, (50,))


# --- streams: as fuzz_stream.c seals them ------------------------------------

FRAME, FIRST, NEXT = 4096, 4068, 4084
STREAM_LENGTHS = (0, 1, 50, 100, FIRST, FIRST + 50, FIRST + 2 * NEXT + 9)


def sealed_stream(i):
    bound, salt = b"\xd3\0\0" + bytes([i + 1]), bytes([i]) + bytes(11)
    extracted = hmac.digest(bytes(32), KEY, "sha256")
    gcm = AESGCM(hmac.digest(extracted, salt + b"\x01", "sha256"))
    text = bytes(j + j // 256 & 255 for j in range(STREAM_LENGTHS[i]))
    out, number, length = bound + salt, 0, FIRST
    while True:
        piece, text = text[:length], text[length:]
        aad = b"kms-envelope" + KEY_ID + bound + (AAD if number == 0 else b"")
        out += gcm.encrypt(number.to_bytes(12, "big"), piece, aad)[:-4]
        if len(piece) < length:
            return out
        number, length = number + 1, NEXT


def stream():
    def with_pieces(sealed, pieces=(0xf0,) * 4, flags=0):
        return bytes((flags, len(pieces), *pieces)) + sealed

    for i, length in enumerate(STREAM_LENGTHS):
        yield f"sealed-{length}", with_pieces(sealed_stream(i), flags=i << 4)
    good, field = sealed_stream(6), sealed_stream(2)
    frames = [good[at:at + FRAME] for at in range(0, len(good), FRAME)]
    yield "in-place", with_pieces(good, flags=0x61)
    yield "two-frames-a-piece", with_pieces(good, (0xf1,) * 2, 0x61)
    yield "whole", with_pieces(good, (), 0x50)
    yield "field-byte-by-byte", with_pieces(field, (17,) + (1,) * 14, 0x21)
    yield "field-in-pieces", with_pieces(field, (0, 30, 0, 16, 9), 0x20)
    yield "held-too-long", with_pieces(sealed_stream(3), (93, 10), 0x30)
    yield "uneven", with_pieces(good, (200,) * 15, 0x60)
    yield "uneven-later", with_pieces(good, (0xf0, 1, 0xf0), 0x61)
    yield "empty", b""
    yield "pieces-cut", b"\0\x0f\1\1"
    for cut in (0, 15, 16, 27, 28, FRAME - 1, FRAME, FRAME + 11, FRAME + 12,
                2 * FRAME, 3 * FRAME, len(good) - 1):
        yield f"cut-at-{cut}", with_pieces(good[:cut])
    yield "longer", with_pieces(good + b"\0")
    yield "more-after-the-end", with_pieces(field + b"\0", (len(field),))
    yield "twice", with_pieces(good + good)
    yield "changed-places", with_pieces(
        frames[0] + frames[2] + frames[1] + frames[3])
    yield "one-missing", with_pieces(frames[0] + frames[2] + frames[3])
    yield "spliced", with_pieces(frames[0] + sealed_stream(5)[FRAME:])
    yield "format", with_pieces(b"\x4b" + good[1:])
    yield "version-0", with_pieces(b"\xd3\0\0\0" + good[4:])
    for name, at in (("version", 3), ("salt", 15), ("text", 16),
                     ("tag", FRAME - 1), ("second", FRAME), ("end", -1)):
        changed = bytearray(good)
        changed[at] ^= 1
        yield f"other-{name}", with_pieces(bytes(changed))


# --- deterministic messages: as fuzz_siv.c seals them -------------------------

def handle():
    data_key = bytes(range(0x4b, 0x4b + 32))

    def hkdf(info):
        return hmac.digest(hmac.digest(bytes(32), data_key, "sha256"),
                           info + b"\1", "sha256")

    def made(version):
        label = b"kms-envelope/1 handle"
        which = KEY_ID + version.to_bytes(4, "big")
        secret = hkdf(label + which)[:16]
        check = hashlib.sha256(label + secret + which).digest()[:5]
        return b"kmsh" + base64.urlsafe_b64encode(secret + check)

    for version in (1, 2, 3, 4):
        yield f"version-{version}", made(version)
    good = made(1)
    for name, bad in (
            ("another-magic", b"KMSH" + good[4:]), ("short", good[:-1]),
            ("long", good + b"A"), ("one-changed", good[:9] + b"_" + good[10:]),
            ("check-changed", good[:-1] + (b"A" if good[-1:] != b"A" else b"B")),
            ("another-base64", good[:-1] + b"+"), ("padding", good[:-1] + b"="),
            ("nul", good[:-1] + b"\0"), ("eighth-bit", good[:-1] + b"\xc1"),
            ("zeros", b"kmsh" + b"A" * 28), ("empty", b""),
            ("aes-key", bytes(range(32)))):
        yield name, bad


def siv():
    lengths = (0, 1, 15, 16, 17, 100)
    key = b"a key for fuzzing, 32 bytes longand one more of as many bytes..."

    def sealed(i):
        bound = b"\xc4\0\0" + bytes([i + 1])
        text = bytes(range(lengths[i]))
        associated = b"kms-envelope" + KEY_ID + bound + AAD
        return bound + (AESSIV(key).encrypt(text, [associated]) if text
                        else lookup.tag_of_nothing(key, associated))

    good = sealed(4)
    for i, length in enumerate(lengths):
        yield f"sealed-{length}", b"\0" + sealed(i)
        yield f"in-place-{length}", b"\1" + sealed(i)
    yield "empty", b""
    for cut in (0, 1, 19, 20, len(good) - 1):
        yield f"cut-at-{cut}", b"\0" + good[:cut]
        yield f"in-place-cut-at-{cut}", b"\1" + good[:cut]
    yield "longer", b"\0" + good + b"\0"
    yield "format", b"\0\x4b" + good[1:]
    yield "version-0", b"\0\xc4\0\0\0" + good[4:]
    for name, at in (("version", 3), ("tag", 4), ("masked-bit", 12),
                     ("text", 20), ("end", len(good) - 1)):
        bit = 0x80 if name == "masked-bit" else 1
        changed = good[:at] + bytes([good[at] ^ bit]) + good[at + 1:]
        yield f"other-{name}", b"\0" + changed
        yield f"in-place-other-{name}", b"\1" + changed


# --- key files, and files of a local master key ------------------------------

def version(number, state="active"):
    pairs = {"app": "crm", "kms-envelope:key": "emails",
             "kms-envelope:version": str(number)}
    copies = [{"kms": "local:/etc/kms-envelope/master-key",
               "blob": base64.b64encode(bytes([number]) * 84).decode(),
               "context": context, **more}
              for context, more in ((pairs, {}), ({}, {"adopted": True}),
                                    ({"ours": "1"}, {"adopted": True}))]
    return {"version": number, "created": TIME, "active-from": TIME,
            "state": state, "commitment": f"{number:02x}" * 32,
            "copies": copies if state != "destroyed" else []}


def changed(whole, *path, to=None):
    """A copy with one field changed, or, without a value, taken out."""
    made = copy.deepcopy(whole)
    place = made
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return json.dumps(made).encode()


def broken_json(good):
    yield "empty", b""
    yield "not-json", b"not a key"
    yield "list", b"[]"
    yield "cut-in-half", good[:len(good) // 2]
    yield "last-brace-cut", good.rstrip()[:-1]
    yield "text-after", good + b"{}"
    yield "nul-after", good + b"\0"
    yield "escaped-nul", good.replace(b"kms-envelope", b"kms\\u0000", 1)
    yield "not-utf8", good.replace(b"kms-envelope", b"kms\xff\xfe", 1)
    yield "given-twice", good.replace(b'"id"', b'"id": "", "id"', 1)
    yield "deep", b"[" * 1200


def keyfile():
    whole = {"format": "kms-envelope key 1", "name": "emails", "id": "0a" * 16,
             "created": TIME, "context": {"app": "crm"},
             "policy": {"max-messages": 1000, "max-bytes": 2**53},
             "versions": [version(1, "destroyed"), version(2, "retired"),
                          version(3)], "mac": "ab" * 32}
    good = json.dumps(whole, indent=4).encode()
    yield "valid", good
    yield "valid-small", changed(whole, "policy", to={})
    yield "valid-escapes", changed(
        whole, "versions", 2, "copies", 0, "kms", to="local:/\u00e9\n\"\\\x7f")
    yield "valid-revoked", changed(whole, "versions", 1, "state", to="revoked")
    for after in (1, 7776000, 316224000):
        yield f"valid-rotate-after-{after}", changed(
            whole, "policy", "rotate-after", to=after)
    census = {"scope": "users.email of crm", "taken": TIME,
              "tool": "kms-envelope 1", "found": [0, 2**53, 7], "other": 3}
    ended = copy.deepcopy(whole)
    ended["policy"].update({"destroy-after": 2592000, "census-fence": 60})
    for number in (0, 1):
        ended["versions"][number]["retired"] = TIME
    ended["versions"][0].update({"destroyed": TIME, "restored": TIME})
    ended["censuses"] = [census, {**census, "scope": "gr\u00fc\u00df", "found": [1]}]
    yield "valid-ended", json.dumps(ended, indent=2).encode()
    yield from broken_json(good)
    for name, path, value in (
            ("retired-active", ("versions", 2, "retired"), TIME),
            ("destroyed-retired", ("versions", 1, "destroyed"), TIME),
            ("retired-1970", ("versions", 1, "retired"), "1970-01-01T00:00:00Z"),
            ("restored-number", ("versions", 2, "restored"), 1),
            ("destroy-after-long", ("policy", "destroy-after"), 316224001),
            ("census-fence-short", ("policy", "census-fence"), 4),
            ("censuses-none", ("censuses",), []),
            ("censuses-object", ("censuses",), census),
            ("censuses-many", ("censuses",), [census] * 257),
            ("census-twice", ("censuses", 1), census),
            ("census-text", ("censuses", 1), "census"),
            ("census-unknown", ("censuses", 0, "more"), 1),
            ("census-no-tool", ("censuses", 0, "tool"), None),
            ("census-scope-empty", ("censuses", 0, "scope"), ""),
            ("census-scope-long", ("censuses", 0, "scope"), "x" * 201),
            ("census-scope-control", ("censuses", 0, "scope"), "a\nb"),
            ("census-taken", ("censuses", 0, "taken"), "2026-02-30T00:00:00Z"),
            ("census-found-none", ("censuses", 0, "found"), []),
            ("census-found-many", ("censuses", 0, "found"), [0, 0, 0, 0]),
            ("census-found-less", ("censuses", 0, "found", 1), -1),
            ("census-found-fraction", ("censuses", 0, "found", 1), 1.5),
            ("census-other-text", ("censuses", 0, "other"), "3")):
        yield name, changed(ended, *path, to=value)
    first = ("versions", 2, "copies", 0)
    for name, path, value in (
            ("no-mac", ("mac",), None), ("format", ("format",), "2"),
            ("name", ("name",), "other"), ("id-short", ("id",), "0a"),
            ("time", ("created",), "2026-02-30T00:00:00Z"),
            ("context-reserved", ("context",), {"kms-envelope:key": "x"}),
            ("policy-fraction", ("policy", "max-bytes"), 1.5),
            ("policy-unknown", ("policy", "rotate-before"), 1),
            ("rotate-after-text", ("policy", "rotate-after"), "90d"),
            ("rotate-after-zero", ("policy", "rotate-after"), 0),
            ("rotate-after-long", ("policy", "rotate-after"), 316224001),
            ("revoked-no-copies", ("versions", 0, "state"), "revoked"),
            ("versions-none", ("versions",), []),
            ("version-order", ("versions", 1, "version"), 3),
            ("state", ("versions", 1, "state"), "Active"),
            ("destroyed-has-copies", ("versions", 1, "state"), "destroyed"),
            ("copies-none", ("versions", 2, "copies"), []),
            ("blob", first + ("blob",), "AAA"),
            ("blob-long", first + ("blob",), "AAAA" * 2049),
            ("copy-context", first + ("context", "app"), "erp"),
            ("copy-context-none", first + ("context",), {}),
            ("copy-unknown", first + ("more",), 1),
            ("adopted-false", first[:3] + (1, "adopted"), False),
            ("adopted-text", first[:3] + (1, "adopted"), "true"),
            ("adopted-context", first[:3] + (1, "context"),
             {"kms-envelope:key": "emails"}),
            ("adopted-twice", first[:3] + (2, "adopted"), [True, True])):
        yield name, changed(whole, *path, to=value)


def census():
    """fuzz_census.c: CSV, hex and base64."""
    for name, text in (
            ("csv", "id,mail\n1,4b000001\n2,4b0000020000\n"),
            ("csv-crlf", "id,mail\r\n1,4b000001\r\n2,\\x4b000002"),
            ("csv-quotes", 'id,"mail"\n"1","4b00""00"\n2,"4b000001\n,"\n'),
            ("csv-mark", "\ufeffmail,mail2\n4b000001,4b000009\n"),
            ("csv-empty-rows", "mail,x\n\n\n,\n4b000003,1\n"),
            ("csv-twice", "mail,mail\n"), ("csv-short", "id,mail\n1\n"),
            ("csv-open", 'id,mail\n1,"4b'), ("csv-quote", 'id,mail\n1,4"b\n'),
            ("csv-behind", 'id,mail\n1,"4b"0\n'),
            ("csv-cr", "id,mail\n1,4b\r0\n"), ("csv-cr-end", "id,mail\r"),
            ("csv-long", "id,mail\n1," + 100 * "4b000001" + ",\n"),
            ("lines", "4b000001\n4B000002ff\r\n\n\\x4b000003\n0x4b000004"),
            ("lines-base64", "SwAAAQ==\nSwAAAv//\r\n\nSwd__g\nSw=="),
            ("lines-stream", "d3000001\n0wAAAQ==\n"), ("empty", "")):
        yield name, text.encode()


def imported():
    """fuzz_import.c: a data key, plain or wrapped."""
    key = bytes(range(200, 232))
    text, digits = base64.b64encode(key), key.hex().encode()
    yield "raw", key
    yield "hex", digits
    yield "hex-capitals", digits.upper() + b"\r\n"
    yield "base64", text + b"\n"
    yield "base64-not-canonical", text[:42] + b"7="
    yield "base64-no-padding", text[:43]
    yield "base64-url", text.replace(b"/", b"_").replace(b"+", b"-")
    yield "raw-newline", key + b"\n"
    yield "hex-of-16", digits[:32]
    yield "hex-short", digits[:63]
    yield "hex-bad", digits[:63] + b"g"
    yield "two-newlines", digits + b"\n\n"
    yield "empty", b""
    yield "blob", b"KEL1" + bytes(range(80))
    yield "blob-lines", b"QUJD\nREVG\r\nR0g=\n"
    yield "blob-longest", base64.b64encode(bytes(6144))
    yield "blob-too-long", bytes(6145)
    yield "json", b'{"CiphertextBlob": "QUJD"}'
    yield "nul-inside", b"QUJD\0"


def local_file():
    def backing(number):
        key = base64.b64encode(bytes([number]) * 32).decode()
        return {"number": number, "created": TIME, "key": key}

    whole = {"format": "kms-envelope local master key 1", "id": "0b" * 16,
             "backing-keys": [backing(1), backing(2)]}
    good = json.dumps(whole, indent=2).encode()
    yield "valid", good
    yield "valid-one", changed(whole, "backing-keys", to=[backing(1)])
    yield from broken_json(good)
    first = ("backing-keys", 0)
    for name, path, value in (
            ("no-id", ("id",), None), ("format", ("format",), "2"),
            ("id-capitals", ("id",), "0B" * 16), ("unknown", ("more",), 1),
            ("no-keys", ("backing-keys",), []),
            ("keys-object", ("backing-keys",), {"a": backing(1)}),
            ("not-an-object", first, 1),
            ("number-order", first + ("number",), 2),
            ("number-text", first + ("number",), "1"),
            ("time", first + ("created",), "2026-01-01 00:00:00"),
            ("key-short", first + ("key",), "AAAA"),
            ("key-padding", first + ("key",), "A" * 43),
            ("key-number", first + ("key",), 1)):
        yield name, changed(whole, *path, to=value)


# --- AWS: answers of KMS, and names ------------------------------------------

AWS_KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
AWS_ARN = f"arn:aws:kms:eu-west-1:111122223333:key/{AWS_KEY_ID}"


def aws_answer():
    whole = {"KeyId": AWS_ARN, "CiphertextBlob": "AQICAHg=",
             "Plaintext": base64.b64encode(bytes(range(32))).decode(),
             "KeyMaterialId": "0a" * 32,
             "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    metadata = {"Arn": AWS_ARN, "KeyId": AWS_KEY_ID, "KeyState": "Enabled",
                "KeyManager": "CUSTOMER", "MultiRegion": False}
    good = json.dumps(whole).encode()
    yield "generate", good
    yield "describe", json.dumps({"KeyMetadata": metadata}).encode()
    yield "escapes", good.replace(b"AQICAHg=", b"\\u0041QICAHg\\u003d")
    yield "empty", b""
    yield "html", b"<html><body>502 Bad Gateway</body></html>"
    yield "cut-in-half", good[:len(good) // 2]
    yield "last-brace-cut", good[:-1]
    yield "text-after", good + b"{}"
    yield "nul-after", good + b"\0"
    yield "escaped-nul", good.replace(b"arn:", b"arn\\u0000")
    yield "not-utf8", good.replace(b"arn:", b"\xff\xfe")
    yield "given-twice", good.replace(
        b'"Plaintext"', b'"Plaintext": "AAAA", "Plaintext"')
    yield "deep", b'{"KeyId":' + b"[" * 1200
    for name, path, value in (
            ("no-key-id", ("KeyId",), None), ("key-id-empty", ("KeyId",), ""),
            ("key-id-number", ("KeyId",), 1),
            ("key-id-long", ("KeyId",), "a" * 256),
            ("blob-empty", ("CiphertextBlob",), ""),
            ("blob-long", ("CiphertextBlob",), "AAAA" * 2049),
            ("key-31", ("Plaintext",), base64.b64encode(bytes(31)).decode()),
            ("key-33", ("Plaintext",), base64.b64encode(bytes(33)).decode()),
            ("key-no-padding", ("Plaintext",), "A" * 43),
            ("key-loose-bits", ("Plaintext",), "A" * 42 + "B="),
            ("key-null", ("Plaintext",), None)):
        yield name, changed(whole, *path, to=value)
    for name, error in (
            ("error", {"__type": "DisabledException", "message": "disabled"}),
            ("error-namespace", {"__type": "amazonaws.kms#NotFoundException",
                                 "Message": "not found"}),
            ("error-uri", {"__type": "ThrottlingException:http://a/#b"}),
            ("error-deletion", {"__type": "KMSInvalidStateException",
                                "message": f"{AWS_ARN} is pending deletion."}),
            ("error-skew", {"__type": "InvalidSignatureException",
                            "message": "Signature expired: 20150830T123600Z"}),
            ("error-long", {"__type": "a" * 100, "message": "\x1b" * 300}),
            ("error-empty", {"__type": "#", "message": None})):
        yield name, json.dumps(error).encode()


def aws_key():
    mrk = "mrk-" + AWS_KEY_ID.replace("-", "")
    for name, text in (
            ("id", AWS_KEY_ID), ("mrk", mrk), ("arn", AWS_ARN),
            ("arn-mrk", AWS_ARN.replace(AWS_KEY_ID, mrk)),
            ("arn-alias", AWS_ARN.replace("key/" + AWS_KEY_ID, "alias/a/b-c")),
            ("arn-partition", AWS_ARN.replace("aws", "aws-iso-b", 1)),
            ("alias", "alias/emails"), ("alias-colon", "alias/a:b"),
            ("alias-longest", "alias/" + "a" * 250),
            ("alias-long", "alias/" + "a" * 251),
            ("id-capitals", AWS_KEY_ID.upper()), ("id-long", AWS_KEY_ID + "0"),
            ("id-newline", AWS_KEY_ID + "\n"),
            ("arn-cut", AWS_ARN[:-37]), ("arn-service", AWS_ARN.replace(
                "kms", "sts")), ("arn-no-region", AWS_ARN.replace(
                    "eu-west-1", "")), ("arn-account", AWS_ARN.replace(
                        "1111", "111a")), ("arn-more", AWS_ARN + ":more"),
            ("arn-region-host", AWS_ARN.replace("eu-west-1", "a.example/#")),
            ("region", "eu-west-1"), ("region-china", "cn-north-1"),
            ("region-gov", "us-gov-west-1"), ("region-sovereign",
                                              "eusc-de-east-1"),
            ("region-unknown", "moon-1"), ("region-global", "aws-global"),
            ("region-dot", "eu.west"), ("region-dash", "-eu-west-1"),
            ("region-digits", "1234"), ("region-long", "a" * 32),
            ("url", "https://kms.eu-west-1.amazonaws.com/"),
            ("url-no-slash", "https://kms.eu-west-1.amazonaws.com"),
            ("url-port", "http://localhost:4566/"),
            ("url-default-port", "https://localhost:443"),
            ("url-address", "https://[::1]:8443/"),
            ("url-address-open", "https://[::1"),
            ("url-no-address", "https://[]/"),
            ("url-no-host", "https:///"), ("url-only-port", "https://:443/"),
            ("url-no-port", "https://localhost:/"),
            ("url-two-ports", "https://localhost:443:443/"),
            ("url-user", "https://user:password@localhost/"),
            ("url-user-only", "https://@/"),
            ("url-path", "https://localhost/kms"),
            ("url-query", "https://localhost/?a"),
            ("url-space", "https://local host/"),
            ("url-newline", "https://localhost\r\nX-A: b/"),
            ("url-backslash", "https://localhost\\@example.com/"),
            ("url-inner", "https:/x://localhost/"),
            ("url-other", "ftp://localhost/"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("date-leap", "Tue, 29 Feb 2000 23:59:59 GMT"),
            ("date-no-leap", "Wed, 29 Feb 2001 00:00:00 GMT"),
            ("date-last", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("date-epoch", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("date-hour", "Sun, 06 Nov 1994 24:00:00 GMT"),
            ("date-leap-second", "Sat, 31 Dec 2016 23:59:60 GMT"),
            ("date-sign", "Sun, +6 Nov 1994 08:49:37 GMT"),
            ("date-minus", "Sun, 06 Nov 1994 08:49:-7 GMT"),
            ("date-one-digit", "Sun, 6 Nov 1994 08:49:37 GMT"),
            ("date-month", "Sun, 06 anF 1994 08:49:37 GMT"),
            ("date-month-short", "Sun, 06 N 1994 08:49:37 GMT"),
            ("date-zone", "Sun, 06 Nov 1994 08:49:37 CET"),
            ("date-no-zone", "Sun, 06 Nov 1994 08:49:37"),
            ("date-after", "Sun, 06 Nov 1994 08:49:37 GMT "),
            ("date-blanks", "Sun,  06  Nov 1994 08:49:37 GMT"),
            ("date-no-blank", "Sun,06 Nov 1994 08:49:37 GMT"),
            ("date-short-day", "Su, 06 Nov 1994 08:49:37 GMT"),
            ("date-asctime", "Sun Nov  6 08:49:37 1994"),
            ("empty", ""), ("nul-inside", "alias/a\0b"), ("space", " ")):
        yield name, text.encode()


# --- AWS: shared files, lines of words, answers of STS -----------------------

def aws_words():
    for name, text in (
            ("empty", ""), ("blank", " \t\r\n"), ("one", "a"), ("two", "a b"),
            ("spaces", "  a\t b \n"), ("single", "'a b'"),
            ("double", '"a b"'), ("joined", "a'b'\"c\"d"), ("none", "'' \"\""),
            ("escaped", "a\\ b"), ("escaped-double", '"a\\"b\\\\c\\d"'),
            ("raw-single", "'a\\b\"'"), ("open-single", "'a"),
            ("open-double", '"a'), ("open-escape", "a\\"),
            ("open-double-escape", '"a\\'), ("no-shell", "$A *|;#&<>`~(){}"),
            ("newline-inside", "'a\nb'"), ("utf8", "\u00e9"),
            ("command", "/usr/bin/tool --profile 'my own' --format \"js on\"")):
        yield name, text.encode()


def aws_profile():
    credentials = ("[default]\naws_access_key_id = A\n"
                   "aws_secret_access_key = S\n\n[x y]\na=1\n")
    config = ("# c\n[default]\nregion = r # c\n[profile \"a b\"]\n"
              "role_arn = arn:aws:iam::1:role/r\nsource_profile=default\n"
              "s3 =\n  max = 1\n  min = 2\n[services x]\nkms =\n"
              "  endpoint_url = http://localhost:1\n[sso-session s]\na = b\n")
    yield "credentials", b"\0" + credentials.encode()
    yield "config", b"\1" + config.encode()
    yield "config-crlf", b"\1" + config.replace("\n", "\r\n").encode()
    for name, text in (
            ("empty", ""), ("comments", "#\n;\n # c"), ("no-newline", "[a]"),
            ("more-lines", "[default]\na = 1\n  2\n\n\t3\n"),
            ("indented", "[default]\n  a = 1\n  b = 2\n"),
            ("colon", "[default]\na : 1\n"), ("comment-value",
                                              "[default]\na =#b\n"),
            ("nested-colon", "[default]\na =\n  b:c = d\n"),
            ("name-quotes", "[profile 'a \"b\"']\na = 1\n"),
            ("name-open", "[profile 'a]\na = 1\n"),
            ("name-none", "[profile '']\na = 1\n"),
            ("no-section", "a = 1\n"), ("no-value", "[default]\na\n"),
            ("no-key", "[default]\n= 1\n"), ("no-bracket", "[default\n"),
            ("after-bracket", "[default] a\n"), ("no-name", "[]\n"),
            ("twice", "[default]\na = 1\nA = 2\n"),
            ("section-twice", "[profile default]\n[default]\n"),
            ("capitals", "[DEFAULT]\n"), ("nested-twice",
                                          "[default]\na =\n b = 1\n b = 2"),
            ("nested-no-value", "[default]\na =\n b\n"),
            ("control", "[default]\na = \x1b\n"), ("utf8-mark",
                                                    "\ufeff[default]\n"),
            ("nul-inside", "[default]\na = 1\0\n")):
        yield name, b"\1" + text.encode()


def xml():
    sts = ('<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/'
           '2011-06-15/">\n <AssumeRoleResult><Credentials><SecretAccessKey>'
           'a&amp;b</SecretAccessKey></Credentials></AssumeRoleResult>\n'
           '</AssumeRoleResponse>\n')
    yield "sts", sts.encode()
    yield "sts-cut", sts.encode()[:-20]
    yield "sts-utf16", sts.encode("utf-16")
    yield "nul-inside", b"<a><b>t\0</b></a>"
    yield "not-utf8", b"<a><b>\xff\xfe</b></a>"
    yield "long", b"<a><b>t</b></a>" + b" " * 65536
    for name, text in (
            ("error", "<ErrorResponse><Error><Code>AccessDenied</Code></Error>"
             "</ErrorResponse>"), ("one", "<a><b>t</b></a>"),
            ("declared", '<?xml version="1.0"?><a><b>t</b></a>'),
            ("prefix", '<n:a xmlns:n="u"><n:b>t</n:b></n:a>'),
            ("prefix-unbound", "<a><n:b>t</n:b></a>"),
            ("numbers", "<a><b>&#65;&#x42;</b></a>"),
            ("cdata", "<a><b><![CDATA[<&]]></b></a>"),
            ("comment", "<a><b>t<!-- c -->u<?p i?></b></a>"),
            ("fits", "<a><b>1234567</b></a>"),
            ("fits-not", "<a><b>12345678</b></a>"), ("none", "<a/>"),
            ("given-twice", "<a><b>t</b><b>u</b></a>"),
            ("inner", "<a><b>t<c/></b></a>"),
            ("deepest", "<a>" * 16 + "</a>" * 16),
            ("deep", "<a>" * 17 + "</a>" * 17),
            ("name-long", "<" + "n" * 600 + "/>"),
            ("doctype", "<!DOCTYPE a><a><b>t</b></a>"),
            ("laughs", '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]>'
             "<a><b>&c;</b></a>"),
            ("file", '<!DOCTYPE a [<!ENTITY e SYSTEM "/etc/passwd">]>'
             "<a><b>&e;</b></a>"), ("undefined", "<a><b>&e;</b></a>"),
            ("two", "<a/><a/>"), ("html", "<html><body>502<hr></body></html>"),
            ("json", '{"a": {"b": "t"}}'), ("empty", "")):
        yield name, text.encode()


# --- packets of provider and agent --------------------------------------------

def agent_wire():
    def fetch(name=b"emails", version=1, used=(7, 8)):
        return (b"KEA\1\1" + bytes([len(name)]) + b"an id, 16 bytes." +
                version.to_bytes(4, "big") + used[0].to_bytes(8, "big") +
                used[1].to_bytes(8, "big") + name)

    def fetched(fresh=300000, stale=3600000):
        return (b"KEA\1\1\0\0" + b"a data key for fuzzing, 32 bytes."[:32] +
                fresh.to_bytes(8, "big") + stale.to_bytes(8, "big"))

    def reason(number, text, ask=1):
        return (b"KEA\1" + bytes([ask]) + number.to_bytes(2, "big") +
                len(text).to_bytes(2, "big") + text)

    def status(text, more=0):
        return (b"KEA\1\2\0\0" + bytes([more]) +
                len(text).to_bytes(2, "big") + text)

    yield "request-fetch", b"q" + fetch()
    yield "request-longest", b"q" + fetch(b"a" * 31, 2**24 - 1, (2**64 - 1,) * 2)
    yield "request-name-long", b"q" + fetch(b"a" * 32)
    yield "request-name-none", b"q" + fetch(b"")
    yield "request-name-slash", b"q" + fetch(b"../emails")
    yield "request-name-nul", b"q" + fetch(b"a\0b")
    yield "request-version-0", b"q" + fetch(version=0)
    yield "request-version-high", b"q" + fetch(version=2**24)
    yield "request-cut", b"q" + fetch()[:-1]
    yield "request-more", b"q" + fetch() + b"x"
    yield "request-status", b"qKEA\1\2"
    yield "request-status-more", b"qKEA\1\2x"
    yield "request-unknown", b"qKEA\1\3"
    yield "request-newer", b"qKEA\2" + fetch()[4:]
    yield "request-empty", b"q"
    yield "fetched", b"f" + fetched()
    yield "fetched-no-time", b"f" + fetched(0, 0)
    yield "fetched-cut", b"f" + fetched()[:-1]
    yield "fetched-more", b"f" + fetched() + b"\0"
    yield "fetched-for-ever", b"f" + fetched(fresh=2**63)
    yield "reason", b"f" + reason(83, b"user 33 may not have the key emails")
    yield "reason-no-text", b"f" + reason(83, b"")
    yield "reason-longest", b"f" + reason(83, b"x" * 511)
    yield "reason-too-long", b"f" + reason(83, b"x" * 512)
    yield "reason-unknown", b"f" + reason(19, b"?")
    yield "reason-terminal", b"f" + reason(83, b"\x1b[2J")
    yield "reason-nul", b"f" + reason(83, b"a\0b")
    yield "reason-cut", b"f" + reason(83, b"user 33")[:-1]
    yield "reason-of-status", b"s" + reason(83, b"not you", 2)
    yield "status", b"s" + status(b"# HELP a b\na 1\n")
    yield "status-more", b"s" + status(b"a 1\n", 1)
    yield "status-neither", b"s" + status(b"a 1\n", 2)
    yield "status-longest", b"s" + status(b"\n" * 2038)
    yield "status-too-long", b"s" + status(b"\n" * 2039)
    yield "status-cut", b"s" + status(b"a 1\n")[:-1]
    yield "status-tab", b"s" + status(b"a\t1\n")


# --- keys as files -----------------------------------------------------------

def reference():
    name = "kms-envelope:emails"
    for case, uri in (
            ("all", "kms-envelope:"), ("name", name), ("capital", name.upper()),
            ("scheme-capital", "KMS-Envelope:emails"),
            ("version", name + "?version=2"), ("copies", name + "?copies=yes"),
            ("both", name + "?version=2&copies=yes"),
            ("both-turned", name + "?copies=yes&version=2"),
            ("longest", "kms-envelope:" + "a" * 31 + "?version=16777215&copies=yes"),
            ("name-long", "kms-envelope:" + "a" * 32),
            ("version-high", name + "?version=16777216"),
            ("version-overflow", name + "?version=4294967298"),
            ("version-0", name + "?version=0"), ("version-02", name + "?version=02"),
            ("version-none", name + "?version="), ("version-sign", name + "?version=+2"),
            ("version-twice", name + "?version=2&version=2"),
            ("copies-no", name + "?copies=no"), ("copies-twice", name + "?copies=yes&copies=yes"),
            ("query-none", name + "?"), ("query-ends", name + "?version=2&"),
            ("query-of-all", "kms-envelope:?version=2"), ("unknown", name + "?colour=red"),
            ("slashes", "kms-envelope://emails"), ("path", "kms-envelope:../emails"),
            ("fragment", name + "#2"), ("escaped", "kms-envelope:e%6dails"),
            ("terminal", "kms-envelope:\x1b[2J"), ("other-scheme", "file:emails"),
            ("empty", ""), ("nul", name + "\0?version=2"), ("space", name + " ")):
        yield case, uri.encode()


def der(tag, content):
    size = len(content)
    more = (size.bit_length() + 7) // 8
    length = bytes([size]) if size < 128 else bytes([128 + more]) + size.to_bytes(more, "big")
    return bytes([tag]) + length + content


def form(uri=b"kms-envelope:emails", key_id=b"\x11" * 16, rest=b"",
         marker=b"kms-envelope reference 1"):
    return der(0x30, der(0x0c, marker) + der(0x0c, uri) + der(0x04, key_id) + rest)


def key_file():
    return {"format": "kms-envelope key 1", "name": "emails", "id": "11" * 16,
            "created": TIME, "context": {"app": "crm"}, "policy": {},
            "versions": [version(1), version(2)], "mac": "22" * 32}


def key_form():
    whole = key_file()
    json_of = json.dumps(whole).encode()
    good = form(rest=der(0x04, json_of))
    yield "reference", form()
    yield "reference-version", form(b"kms-envelope:emails?version=2")
    yield "longest", form(b"kms-envelope:" + b"a" * 31 + b"?version=16777215")
    yield "with-copies", good
    yield "with-copies-version", form(b"kms-envelope:emails?version=2",
                                      rest=der(0x04, json_of))
    yield "copies-no-such-version", form(b"kms-envelope:emails?version=3",
                                         rest=der(0x04, json_of))
    yield "copies-other-name", form(b"kms-envelope:orders", rest=der(0x04, json_of))
    yield "copies-other-id", form(key_id=b"\x12" * 16, rest=der(0x04, json_of))
    yield "copies-not-json", form(rest=der(0x04, b"{"))
    yield "copies-empty", form(rest=der(0x04, b""))
    yield "copies-nul", form(rest=der(0x04, json_of + b"\0"))
    yield "copies-no-mac", form(rest=der(0x04, changed(whole, "mac")))
    yield "copies-as-text", form(rest=der(0x0c, json_of))
    yield "copies-twice", form(rest=der(0x04, json_of) * 2)
    yield "uri-of-all", form(b"kms-envelope:")
    yield "uri-copies", form(b"kms-envelope:emails?copies=yes")
    yield "uri-capital", form(b"KMS-ENVELOPE:emails")
    yield "uri-nul", form(b"kms-envelope:emails\0")
    yield "uri-long", form(b"kms-envelope:" + b"a" * 100)
    yield "uri-empty", form(b"")
    yield "id-short", form(key_id=b"\x11" * 15)
    yield "id-long", form(key_id=b"\x11" * 17)
    yield "newer", form(marker=b"kms-envelope reference 2")
    yield "marker-short", form(marker=b"kms-envelope reference")
    yield "not-a-sequence", b"\x31" + form()[1:]
    yield "length-long-form", b"\x30\x81" + form()[1:]
    yield "length-zeros", b"\x30\x82\0" + form()[1:]
    yield "length-indefinite", b"\x30\x80" + form()[2:] + b"\0\0"
    yield "length-too-much", b"\x30\x84\x7f\xff\xff\xff" + form()[2:]
    yield "length-beyond", form()[:1] + bytes([form()[1] + 1]) + form()[2:]
    yield "more", form() + b"\0"
    for cut in (0, 1, 2, 30, 31, len(form()) - 1):
        yield f"cut-at-{cut}", form()[:cut]
    yield "other-rsa", bytes.fromhex("308204bd020100300d06092a864886f70d0101010500")


def key_pem():
    def pem(body, label=b"KMS-ENVELOPE KEY", end=None):
        text = base64.b64encode(body)
        lines = [text[i:i + 64] for i in range(0, len(text), 64)]
        return b"\n".join([b"-----BEGIN " + label + b"-----", *lines,
                           b"-----END " + (end or label) + b"-----", b""])

    good = pem(form())
    yield "reference", good
    yield "with-copies", pem(form(rest=der(0x04, json.dumps(key_file()).encode())))
    yield "crlf", good.replace(b"\n", b"\r\n")
    yield "explained", b"a key of ours\n\n" + good
    yield "indented", b"  " + good
    yield "certificate-first", pem(b"cert", b"CERTIFICATE") + good
    yield "certificate", pem(b"cert", b"CERTIFICATE")
    yield "private-key", pem(b"key", b"PRIVATE KEY")
    yield "other-end", pem(form(), end=b"PRIVATE KEY")
    yield "no-end", good[:good.index(b"-----END")]
    yield "end-cut", good[:-3]
    yield "end-alone", good[good.index(b"-----END"):]
    yield "empty-body", pem(b"")
    yield "one-line", pem(form()).replace(b"\n", b"", 3)
    yield "long-line", b"-----BEGIN KMS-ENVELOPE KEY-----\n" + base64.b64encode(
        form() * 3) + b"\n-----END KMS-ENVELOPE KEY-----\n"
    yield "blank-lines", good.replace(b"\n", b"\n\n")
    yield "space-inside", good.replace(b"MD", b"M D")
    yield "headers", good.replace(b"\n", b"\nProc-Type: 4,ENCRYPTED\n\n", 1)
    yield "padding-more", good.replace(b"==\n", b"===\n")
    yield "padding-none", good.replace(b"==", b"")
    yield "padding-bits", pem(b"\0").replace(b"AA==", b"AB==")
    yield "nul", good.replace(b"MD", b"M\0")
    yield "label-longer", good.replace(b"KEY-----", b"KEY------")
    yield "empty", b""


for target in (agent_wire, aws_answer, aws_key, aws_profile, aws_words, census, duration, handle,
               header, imported, key_form, key_pem, keyfile, local_file, siv, reference, stream, xml):
    folder = CORPUS / {"imported": "import"}.get(target.__name__, target.__name__)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in target():
        (folder / name).write_bytes(content)
