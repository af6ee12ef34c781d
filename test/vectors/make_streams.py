#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes streams.json: known answers, and streams that must be refused.
With --check, only says whether the file is what this would write.

Made from docs/format.md alone. Nothing is random: bytes come from SHA-256.
"""
import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = pathlib.Path(__file__).with_name("streams.json")
FRAME, FIRST, NEXT = 4096, 4068, 4084
# Around the ends of frames.
LENGTHS = (0, 1, 32, FIRST - 1, FIRST, FIRST + NEXT - 1, FIRST + NEXT)


def some_bytes(label, length):
    blocks = (hashlib.sha256(f"{label} {i}".encode()).digest()
              for i in range(length // 32 + 1))
    return b"".join(blocks)[:length]


# The second key has the first one's data key: only the id tells them apart.
KEYS = ((some_bytes("data key a", 32), some_bytes("id a", 16)),
        (some_bytes("data key a", 32), some_bytes("id b", 16)),
        (b"\xff" * 32, b"\xff" * 16))
VERSIONS = (1, 2, 0xFFFFFF)
SALTS = (bytes(12), b"\xff" * 12, some_bytes("salt", 12))
AADS = (b"", b"backup.tar", some_bytes("aad", 300))


def stream_key(key, version, salt, label=b"kms-envelope/1 stream"):
    """HKDF-SHA256 by hand (RFC 5869): 32 bytes are its first block."""
    extracted = hmac.digest(bytes(32), key[0], "sha256")
    info = label + key[1] + version.to_bytes(4, "big") + salt
    return hmac.digest(extracted, info + b"\x01", "sha256")


def bound_of(version):
    return b"\xd3" + version.to_bytes(3, "big")


def cut(plaintext):
    """As frames: the last is never full."""
    pieces, length = [], FIRST
    while len(plaintext) >= length:
        pieces.append(plaintext[:length])
        plaintext, length = plaintext[length:], NEXT
    return [*pieces, plaintext]


def seal_frames(key, version, salt, aad, plaintext, derived=None):
    """A 96-bit tag is the begin of a 128-bit one (SP 800-38D, 7.1)."""
    gcm = AESGCM(derived or stream_key(key, version, salt))
    prefix = b"kms-envelope" + key[1] + bound_of(version)
    return [gcm.encrypt(number.to_bytes(12, "big"), piece,
                        prefix + (aad if number == 0 else b""))[:-4]
            for number, piece in enumerate(cut(plaintext))]


def seal(key, version, salt, aad, plaintext, derived=None):
    return bound_of(version) + salt + b"".join(
        seal_frames(key, version, salt, aad, plaintext, derived))


def entry(name, key, version, salt, aad, plaintext, **more):
    return {"name": name, "data_key": key[0].hex(), "id": key[1].hex(),
            "version": version, "salt": salt.hex(), "aad": aad.hex(),
            "plaintext": plaintext.hex(),
            "stream": seal(key, version, salt, aad, plaintext).hex(), **more}


def streams():
    for i, length in enumerate(LENGTHS):
        aad = AADS[i % 3]
        yield entry(f"{length} bytes, aad of {len(aad)}", KEYS[i // 2 % 3],
                    VERSIONS[i // 3 % 3], SALTS[(i + 1) % 3], aad,
                    some_bytes(f"plaintext {i}", length))
    for (i, key), version, salt in ((k, v, s) for k in enumerate(KEYS)
                                    for v in VERSIONS for s in SALTS):
        yield entry(f"key {i}, version {version}, salt {salt.hex()}", key,
                    version, salt, b"row", b"anna@example.org")


def invalid():
    key, salt, aad = KEYS[0], SALTS[2], AADS[1]
    text = some_bytes("plaintext", FIRST + NEXT + 40)
    good = seal(key, 2, salt, aad, text)
    frames = [good[i:i + FRAME] for i in range(0, len(good), FRAME)]
    lengths = [0, FIRST, FIRST + NEXT]

    def refused(name, refusal, stream=good, right=0, data_key=key[0],
                key_id=key[1], with_aad=aad):
        """right: how many frames are, and come out before the refusal."""
        return {"name": name, "refusal": refusal, "data_key": data_key.hex(),
                "id": key_id.hex(), "aad": with_aad.hex(),
                "released": lengths[right], "stream": stream.hex()}

    short = seal(key, 2, salt, aad, b"anna@example.org")
    for first in (0x00, 0x4b, 0x53, 0xd2, 0xd4, 0xff):
        yield refused(f"format byte {first:02x}", "format",
                      bytes([first]) + short[1:])
    yield refused("version 0", "version", b"\xd3\0\0\0" + short[4:])
    for length in (0, 1, 4, 15):
        yield refused(f"{length} bytes of a stream", "short", short[:length])
    for length in (16, 27):
        yield refused(f"{length} bytes of a stream", "truncated",
                      short[:length])
    for length in (28, len(short) - 1):
        yield refused(f"{length} bytes of a stream", "tag", short[:length])
    yield refused("cut after the first frame", "truncated", good[:FRAME], 1)
    yield refused("cut after the second frame", "truncated",
                  good[:2 * FRAME], 2)
    yield refused("cut within a tag", "truncated", good[:2 * FRAME + 11], 2)
    yield refused("cut within a frame", "tag", good[:FRAME + 100], 1)
    yield refused("one byte more", "tag", good + b"\0", 2)
    yield refused("the second frame is missing", "tag",
                  frames[0] + frames[2], 1)
    yield refused("the second frame twice", "tag",
                  frames[0] + frames[1] + frames[1] + frames[2], 2)
    yield refused("two frames changed places", "tag",
                  frames[0][:16] + frames[1][16:] + frames[0] + frames[2])
    other = seal(key, 2, SALTS[0], aad, text)
    yield refused("the second frame of another stream", "tag",
                  frames[0] + other[FRAME:2 * FRAME] + frames[2], 1)
    yield refused("the last frame of another stream", "tag",
                  frames[0] + frames[1] + other[2 * FRAME:], 2)
    yield refused("another stream behind it", "tag", good + other, 2)
    for part, at in (("version", 3), ("salt", 4), ("salt's end", 15),
                     ("ciphertext", 16), ("tag", len(short) - 12),
                     ("tag's end", len(short) - 1)):
        for bit in (0x01, 0x80):
            changed = short[:at] + bytes([short[at] ^ bit]) + short[at + 1:]
            yield refused(f"{part}, bit {bit:02x} flipped", "tag", changed)
    for name, wrong in (("no aad", b""), ("another aad", b"backup.tgz"),
                        ("aad cut", aad[:-1]), ("aad longer", aad + b"\0")):
        yield refused(name, "tag", short, with_aad=wrong)
    yield refused("another key's id", "tag", short, key_id=KEYS[1][1])
    yield refused("another data key", "tag", short, data_key=KEYS[2][0])
    for name, derived in (
            ("the data key itself", key[0]),
            ("a key without the salt", stream_key(key, 2, b"")),
            ("the key of messages",
             stream_key(key, 2, b"", b"kms-envelope/1 message"))):
        yield refused(f"sealed with {name}", "tag",
                      seal(key, 2, salt, aad, b"anna", derived))


made = json.dumps({"SPDX-License-Identifier": "Apache-2.0",
                   "streams": list(streams()), "invalid": list(invalid())},
                  indent=1) + "\n"
if sys.argv[1:] == ["--check"]:
    sys.exit(0 if FILE.read_text() == made else f"{FILE}: make it anew")
FILE.write_text(made)
