#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes lookup.json: known answers of KMS-ENVELOPE-SIV and KMS-ENVELOPE-INDEX,
and messages that must be refused. With --check, only says whether the file is
what this would write.

Made from docs/format.md and RFC 5297 alone: S2V and HKDF by hand, and S2V seen
to give the RFC's own examples. Nothing is random: bytes come from SHA-256.
"""
import hashlib
import hmac
import itertools
import json
import pathlib
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

FILE = pathlib.Path(__file__).with_name("lookup.json")
LENGTHS = (0, 1, 15, 16, 17, 31, 32, 33, 48, 255, 4097)
VERSIONS = (1, 2, 0xFFFFFF)


def some_bytes(label, length):
    blocks = (hashlib.sha256(f"{label} {i}".encode()).digest()
              for i in range(length // 32 + 1))
    return b"".join(blocks)[:length]


# The second key has the first one's data key: only the id tells them apart.
KEYS = ((some_bytes("data key a", 32), some_bytes("id a", 16)),
        (some_bytes("data key a", 32), some_bytes("id b", 16)),
        (bytes(32), bytes(16)),
        (b"\xff" * 32, b"\xff" * 16))
AADS = (b"", b"users.email", some_bytes("aad", 300))
SIZES = (4, 8, 16, 31, 32)


def derive(data_key, key_id, version, label, length=32):
    """HKDF-SHA256 by hand (RFC 5869), at most two blocks."""
    extracted = hmac.digest(bytes(32), data_key, "sha256")
    info = label + key_id + version.to_bytes(4, "big")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    second = hmac.digest(extracted, first + info + b"\x02", "sha256")
    return (first + second)[:length]


# --- RFC 5297 ---------------------------------------------------------------

def cmac(key, data):
    made = CMAC(algorithms.AES(key))
    made.update(data)
    return made.finalize()


def double(block):
    number = int.from_bytes(block, "big") << 1
    return ((number ^ (number >> 128) * 0x87) % 2**128).to_bytes(16, "big")


def xor(left, right):
    return bytes(a ^ b for a, b in zip(left, right))


def s2v(key, *strings):
    *associated, last = strings
    d = cmac(key, bytes(16))
    for string in associated:
        d = xor(double(d), cmac(key, string))
    if len(last) >= 16:
        return cmac(key, last[:-16] + xor(last[-16:], d))
    padded = last + b"\x80" + bytes(15 - len(last))
    return cmac(key, xor(double(d), padded))


def siv_encrypt(key, plaintext, *associated):
    half = len(key) // 2
    tag = s2v(key[:half], *associated, plaintext)
    mask = bytes.fromhex("ffffffffffffffff7fffffff7fffffff")
    counter = bytes(a & b for a, b in zip(tag, mask))
    ctr = Cipher(algorithms.AES(key[half:]), modes.CTR(counter)).encryptor()
    return tag + ctr.update(plaintext) + ctr.finalize()


def check_rfc():
    """A.1, and A.2 with its three strings."""
    one = siv_encrypt(
        bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0"
                      "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
        bytes.fromhex("112233445566778899aabbccddee"),
        bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627"))
    assert one.hex() == ("85632d07c6e8f37f950acd320a2ecc93"
                         "40c02b9690c4dc04daef7f6afe5c")
    two = siv_encrypt(
        bytes.fromhex("7f7e7d7c7b7a79787776757473727170"
                      "404142434445464748494a4b4c4d4e4f"),
        b"this is some plaintext to encrypt using SIV-AES",
        bytes.fromhex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddcc"
                      "bbaa99887766554433221100"),
        bytes.fromhex("102030405060708090a0"),
        bytes.fromhex("09f911029d74e35bd84156c5635688c0"))
    assert two.hex() == (
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17"
        "dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d")


# --- the two forms ----------------------------------------------------------

def siv_key(key, version):
    return derive(*key, version, b"kms-envelope/1 siv", 64)


def seal(key, version, aad, plaintext):
    bound = b"\xc4" + version.to_bytes(3, "big")
    return bound + siv_encrypt(siv_key(key, version), plaintext,
                               b"kms-envelope" + key[1] + bound + aad)


def index(key, version, value, size):
    index_key = derive(*key, version, b"kms-envelope/1 index")
    return hmac.digest(index_key, value, "sha256")[:size]


def messages():
    for i, (length, aad) in enumerate(itertools.product(LENGTHS, AADS)):
        key, version = KEYS[i % 4], VERSIONS[i // 2 % 3]
        text = some_bytes(f"plaintext {i}", length)
        yield {"name": f"{length} bytes, aad of {len(aad)}",
               "data_key": key[0].hex(), "id": key[1].hex(),
               "version": version, "aad": aad.hex(), "plaintext": text.hex(),
               "message": seal(key, version, aad, text).hex()}


def values():
    for i, (length, size) in enumerate(itertools.product(LENGTHS, SIZES)):
        key, version = KEYS[i % 4], VERSIONS[i // 2 % 3]
        text = some_bytes(f"value {i}", length)
        yield {"name": f"{length} bytes, {size} of the value",
               "data_key": key[0].hex(), "id": key[1].hex(),
               "version": version, "size": size, "data": text.hex(),
               "value": index(key, version, text, size).hex()}


def invalid():
    key, aad, text = KEYS[0], AADS[1], b"anna@example.org"
    good = seal(key, 2, aad, text)

    def refused(name, refusal, message=good, data_key=key[0], key_id=key[1],
                with_aad=aad):
        return {"name": name, "refusal": refusal, "data_key": data_key.hex(),
                "id": key_id.hex(), "aad": with_aad.hex(),
                "message": message.hex()}

    for first in (0x00, 0x4b, 0xd3, 0xc5, 0x44, 0xff):
        yield refused(f"format byte {first:02x}", "format",
                      bytes([first]) + good[1:])
    yield refused("version 0", "version", b"\xc4\0\0\0" + good[4:])
    for length in (0, 1, 4, 19):
        yield refused(f"{length} bytes of a message", "short", good[:length])
    for length in (20, 21, len(good) - 1):
        yield refused(f"{length} bytes of a message", "tag", good[:length])
    yield refused("one byte more", "tag", good + b"\0")
    for part, at in (("version", 3), ("tag", 4), ("tag's masked bit", 12),
                     ("tag's other masked bit", 16), ("tag's end", 19),
                     ("ciphertext", 20), ("its end", len(good) - 1)):
        for bit in (0x01, 0x80):
            changed = good[:at] + bytes([good[at] ^ bit]) + good[at + 1:]
            yield refused(f"{part}, bit {bit:02x} flipped", "tag", changed)
    for name, other in (("no aad", b""), ("another aad", b"users.emaim"),
                        ("aad cut", aad[:-1]), ("aad longer", aad + b"\0")):
        yield refused(name, "tag", with_aad=other)
    yield refused("another key's id", "tag", key_id=KEYS[1][1])
    yield refused("another data key", "tag", data_key=KEYS[2][0])
    sealed_as_3 = seal(key, 3, aad, text)
    yield refused("another version's", "tag", good[:4] + sealed_as_3[4:])
    yield refused("of zeros", "tag", good[:4] + bytes(16))
    bound_aad = b"kms-envelope" + key[1] + good[:4] + aad
    for name, strings in (("without id and header as aad", (aad,)),
                          ("with aad as a string of its own",
                           (bound_aad[:32], aad))):
        yield refused(f"sealed {name}", "tag", good[:4]
                      + siv_encrypt(siv_key(key, 2), text, *strings))
    turned = siv_key(key, 2)[32:] + siv_key(key, 2)[:32]
    for name, wrong in (("the halves of the key turned round", turned),
                        ("the data key itself", key[0] * 2)):
        yield refused(f"sealed with {name}", "tag", good[:4]
                      + siv_encrypt(wrong, text, bound_aad))


check_rfc()
made = json.dumps({"SPDX-License-Identifier": "Apache-2.0",
                   "siv": list(messages()), "siv-invalid": list(invalid()),
                   "index": list(values())}, indent=1) + "\n"
if sys.argv[1:] == ["--check"]:
    sys.exit(0 if FILE.read_text() == made else f"{FILE}: make it anew")
FILE.write_text(made)
