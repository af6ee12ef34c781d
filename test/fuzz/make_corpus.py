#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes corpus/<target>/: what is right, and an example of each mistake.

Files of other names, as those of crashes, stay. Always writes the same.
"""
import base64
import copy
import json
import pathlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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


# --- key files, and files of a local master key ------------------------------

def version(number, state="active"):
    pairs = {"app": "crm", "kms-envelope:key": "emails",
             "kms-envelope:version": str(number)}
    copies = [{"kms": "local:/etc/kms-envelope/master-key",
               "blob": base64.b64encode(bytes([number]) * 84).decode(),
               "context": context} for context in (pairs, {})]
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
    yield from broken_json(good)
    first = ("versions", 2, "copies", 0)
    for name, path, value in (
            ("no-mac", ("mac",), None), ("format", ("format",), "2"),
            ("name", ("name",), "other"), ("id-short", ("id",), "0a"),
            ("time", ("created",), "2026-02-30T00:00:00Z"),
            ("context-reserved", ("context",), {"kms-envelope:key": "x"}),
            ("policy-fraction", ("policy", "max-bytes"), 1.5),
            ("versions-none", ("versions",), []),
            ("version-order", ("versions", 1, "version"), 3),
            ("state", ("versions", 1, "state"), "Active"),
            ("destroyed-has-copies", ("versions", 1, "state"), "destroyed"),
            ("copies-none", ("versions", 2, "copies"), []),
            ("blob", first + ("blob",), "AAA"),
            ("blob-long", first + ("blob",), "AAAA" * 2049),
            ("copy-context", first + ("context", "app"), "erp"),
            ("copy-unknown", first + ("more",), 1)):
        yield name, changed(whole, *path, to=value)


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


for target in (duration, header, keyfile, local_file):
    folder = CORPUS / target.__name__
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in target():
        (folder / name).write_bytes(content)
