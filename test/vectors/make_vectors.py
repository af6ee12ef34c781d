#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes messages.json: known answers, and messages that must be refused.
With --check, only says whether the file is what this would write.

Made from docs/format.md alone. Nothing is random: bytes come from SHA-256.
"""
import hashlib
import hmac
import itertools
import json
import pathlib
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = pathlib.Path(__file__).with_name("messages.json")
LENGTHS = (0, 1, 15, 16, 17, 31, 32, 33, 48, 64, 255, 4097)
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
# The number after all ones is zero.
NONCES = (b"\xff" * 12, bytes(12), b"\xff" * 11 + b"\xfe",
          some_bytes("nonce", 12))
AADS = (b"", b"users.email:42", some_bytes("aad", 300))


def derive(data_key, key_id, version, label=b"kms-envelope/1 message"):
    """HKDF-SHA256 by hand (RFC 5869): 32 bytes are its first block."""
    extracted = hmac.digest(bytes(32), data_key, "sha256")
    info = label + key_id + version.to_bytes(4, "big")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def seal(key, version, nonce, aad, plaintext):
    bound = b"\x4b" + version.to_bytes(3, "big")
    bound_aad = b"kms-envelope" + key[1] + bound + aad
    gcm = AESGCM(derive(*key, version))
    return bound + nonce + gcm.encrypt(nonce, plaintext, bound_aad)


def entry(name, key, version, nonce, aad, plaintext):
    return {"name": name, "data_key": key[0].hex(), "id": key[1].hex(),
            "version": version, "nonce": nonce.hex(), "aad": aad.hex(),
            "plaintext": plaintext.hex(),
            "message": seal(key, version, nonce, aad, plaintext).hex()}


def messages():
    for i, (length, aad) in enumerate(itertools.product(LENGTHS, AADS)):
        yield entry(f"{length} bytes, aad of {len(aad)}", KEYS[i % 4],
                    VERSIONS[i // 2 % 3], NONCES[i // 4 % 4], aad,
                    some_bytes(f"plaintext {i}", length))
    for (i, key), version, nonce in itertools.product(enumerate(KEYS),
                                                      VERSIONS, NONCES):
        yield entry(f"key {i}, version {version}, nonce {nonce.hex()}", key,
                    version, nonce, b"row", b"anna@example.org")


def invalid():
    key, nonce, aad, text = KEYS[0], NONCES[3], AADS[1], b"anna@example.org"
    good = seal(key, 2, nonce, aad, text)

    def refused(name, refusal, message=good, data_key=key[0], key_id=key[1],
                with_aad=aad):
        return {"name": name, "refusal": refusal, "data_key": data_key.hex(),
                "id": key_id.hex(), "aad": with_aad.hex(),
                "message": message.hex()}

    for first in (0x00, 0x4a, 0x4c, 0x6b, 0xff):
        yield refused(f"format byte {first:02x}", "format",
                      bytes([first]) + good[1:])
    yield refused("version 0", "version", b"\x4b\0\0\0" + good[4:])
    for length in (0, 1, 4, 15, 16, 31):
        yield refused(f"{length} bytes of a message", "short", good[:length])
    for cut in (1, 4, 16):
        yield refused(f"without its last {cut}", "tag", good[:-cut])
    yield refused("one byte more", "tag", good + b"\0")
    yield refused("without a byte inside", "tag", good[:16] + good[17:])
    for part, at in (("version", 3), ("nonce", 4), ("nonce's end", 15),
                     ("ciphertext", 16), ("ciphertext's end", 31),
                     ("tag", 32), ("tag's end", len(good) - 1)):
        for bit in (0x01, 0x80):
            changed = good[:at] + bytes([good[at] ^ bit]) + good[at + 1:]
            yield refused(f"{part}, bit {bit:02x} flipped", "tag", changed)
    for name, other in (("no aad", b""), ("another aad", b"users.email:43"),
                        ("aad cut", aad[:-1]), ("aad longer", aad + b"\0")):
        yield refused(name, "tag", with_aad=other)
    yield refused("another key's id", "tag", key_id=KEYS[1][1])
    yield refused("another data key", "tag", data_key=KEYS[2][0])
    plain_aad = AESGCM(derive(*key, 2)).encrypt(nonce, text, aad)
    yield refused("sealed without id and header as aad", "tag",
                  good[:16] + plain_aad)
    bound_aad = b"kms-envelope" + key[1] + good[:4] + aad
    for name, wrong in (("the data key itself", key[0]), (
            "the commitment", derive(*key, 2, b"kms-envelope/1 commitment"))):
        yield refused(f"sealed with {name}", "tag", good[:16]
                      + AESGCM(wrong).encrypt(nonce, text, bound_aad))


made = json.dumps({"SPDX-License-Identifier": "Apache-2.0",
                   "messages": list(messages()), "invalid": list(invalid())},
                  indent=1) + "\n"
if sys.argv[1:] == ["--check"]:
    sys.exit(0 if FILE.read_text() == made else f"{FILE}: make it anew")
FILE.write_text(made)
