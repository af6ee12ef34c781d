#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes sigv4.json: requests, and each step of their signature by botocore.
With --check, only says whether the file is what this would write. With a seed
and a number, prints that many others.

Nothing is random: what looks so comes from SHA-256 of the seed.
"""
import datetime
import hashlib
import json
import pathlib
import string
import sys

from with_botocore import run_with_botocore

run_with_botocore()
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

FILE = pathlib.Path(__file__).with_name("sigv4.json")
SEED, COUNT = "kms-envelope", 100
HEADERS_MAX = 16

LOWER = string.ascii_lowercase + string.digits + "-"
ALPHANUMERIC = string.ascii_letters + string.digits
PRINTABLE = "".join(map(chr, range(0x20, 0x7f)))
WORDS = ("", "\t", "Z\u00fcrich", "\u65e5\u672c\u8a9e", "\U0001f511", "a b",
         '"quoted"', "\\", "two\r\nlines", "=&+%", "\x7f")
REGIONS = ("us-east-1", "eu-west-1", "eusc-de-east-1", "cn-north-1",
           "us-gov-west-1", "us-isob-east-1", "mars-north-17", "local")
HOSTS = ("kms.eu-west-1.amazonaws.com", "sts-fips.us-gov-east-1.api.aws",
         "localhost:4566", "127.0.0.1:8080", "[::1]:5000", "kms",
         "vpce-0a1b2c3d-x.kms.eu-west-1.vpce.amazonaws.com")
ACTIONS = ("Decrypt", "Encrypt", "GenerateDataKey", "ReEncrypt", "DescribeKey")
FORM = "application/x-www-form-urlencoded; charset=utf-8"
RESERVED = ("host", "x-amz-date", "x-amz-security-token")
EPOCH = datetime.datetime(1970, 1, 1)
LAST_S = 253402300799  # the end of the year 9999


class Draw:
    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def below(self, limit):
        self.count += 1
        text = f"{self.seed} {self.count}".encode()
        return int.from_bytes(hashlib.sha256(text).digest(), "big") % limit

    def one_of(self, choices):
        return choices[self.below(len(choices))]

    def text(self, alphabet, shortest, longest):
        length = shortest + self.below(longest - shortest + 1)
        return "".join(self.one_of(alphabet) for _ in range(length))

    def words(self, most):
        return " ".join(self.one_of(WORDS) for _ in range(self.below(most)))

    def shuffled(self, items):
        items = list(items)
        return [items.pop(self.below(len(items))) for _ in range(len(items))]


def to_kms(draw):
    action = draw.one_of(ACTIONS)
    body = {"KeyId": "alias/" + draw.text(ALPHANUMERIC, 1, 20),
            "EncryptionContext": {draw.words(3) or "x": draw.words(4)}}
    headers = {"content-type": "application/x-amz-json-1.1",
               "x-amz-target": "TrentService." + action}
    return "POST", "kms", headers, json.dumps(body, ensure_ascii=False)


def to_sts(draw):
    body = "Action=AssumeRole&RoleSessionName=" + draw.text(ALPHANUMERIC, 2, 64)
    return "POST", "sts", {"content-type": FORM}, body


def odd(draw):
    """What we never send, and a signer must still get right."""
    headers = {}
    for _ in range(draw.below(HEADERS_MAX - len(RESERVED) + 1)):
        name = draw.one_of(("x-amz-", "a-", "0")) + draw.text(LOWER, 1, 12)
        headers[name] = draw.one_of((
            "", " ", draw.text("a  ", 0, 30), draw.text(PRINTABLE, 0, 60),
            " " + draw.text(PRINTABLE, 1, 9) + "   "))
    headers = {name: value for name, value in headers.items()
               if name not in RESERVED}
    method = draw.one_of(("GET", "PUT", "POST", "DELETE"))
    return method, draw.one_of(("kms", "sts", "service")), headers, draw.words(9)


def request(draw):
    method, service, headers, body = draw.one_of((to_kms, to_sts, odd))(draw)
    headers["host"] = draw.one_of(HOSTS)
    if draw.below(2):
        headers["x-amz-security-token"] = draw.text(ALPHANUMERIC + "+/=", 16, 200)
    shortest, longest = draw.one_of(((40, 40), (0, 120)))
    return {"method": method, "service": service,
            "region": draw.one_of(REGIONS), "wall_s": draw.below(LAST_S + 1),
            "access_key_id": "AKID" + draw.text(string.ascii_uppercase, 0, 28),
            "secret_access_key": draw.text(ALPHANUMERIC + "/+", shortest,
                                           longest),
            "headers": headers, "body": body}


def sign(case):
    """Each step, for the time that the case has."""
    when = EPOCH + datetime.timedelta(seconds=case["wall_s"])
    case["time"] = when.strftime("%Y%m%dT%H%M%SZ")
    case["headers"]["x-amz-date"] = case["time"]
    signer = SigV4Auth(Credentials(
        case["access_key_id"], case["secret_access_key"]), case["service"],
        case["region"])
    asked = AWSRequest(
        case["method"], f"https://{case['headers']['host']}/",
        case["headers"], case["body"].encode())
    asked.context["timestamp"] = case["time"]
    canonical = signer.canonical_request(asked)
    to_sign = signer.string_to_sign(asked, canonical)
    signature = signer.signature(to_sign, asked)
    names = signer.signed_headers(signer.headers_to_sign(asked))
    case["headers"] = list(case["headers"].items())
    return {**case, "canonical_request": canonical, "string_to_sign": to_sign,
            "signature": signature, "authorization":
            f"AWS4-HMAC-SHA256 Credential={signer.scope(asked)}, "
            f"SignedHeaders={names}, Signature={signature}"}


def requests(seed, count):
    """One a line."""
    draw = Draw(seed)
    for _ in range(count):
        signed = sign(request(draw))
        signed["headers"] = draw.shuffled(signed["headers"])
        yield json.dumps(signed)


def whole_file(seed, count):
    lines = ",\n  ".join(requests(seed, count))
    return (f'{{\n "SPDX-License-Identifier": "Apache-2.0",\n'
            f' "requests": [\n  {lines}\n ]\n}}\n')


if len(sys.argv) == 3:
    print(whole_file(sys.argv[1], int(sys.argv[2])), end="")
    sys.exit()
made = whole_file(SEED, COUNT)
if sys.argv[1:] == ["--check"]:
    sys.exit(0 if FILE.read_text() == made else f"{FILE}: make it anew")
FILE.write_text(made)
