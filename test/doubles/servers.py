# SPDX-License-Identifier: Apache-2.0
"""Both doubles in one process: python3 servers.py [options]

Prints one line of JSON: where they are, and what opens them. Ends when its
standard input is closed.
"""
import argparse
import json
import pathlib
import secrets
import sys

if __name__ == "__main__":
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from doubles.credentials_server import ECS_PATH, EKS_PATH, CredentialsDouble
from doubles.http_double import HttpDouble
from doubles.kms_server import REGIONS, Accounts, KmsDouble
from doubles.messages import Answer, Clock
from doubles.sigv4 import Credentials

ALIAS = "alias/double"


class Trap(HttpDouble):
    """Where a redirect leads: nobody should come."""

    def name_of(self, request):
        return "visits"

    def answer(self, request):
        return Answer(200)


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", help="PEM: the KMS speaks TLS")
    parser.add_argument("--key", help="PEM: of the certificate")
    parser.add_argument("--regions", default=",".join(REGIONS), help="the first one has the key")
    parser.add_argument("--policy", type=pathlib.Path, help='JSON file: {"access key id": ["Decrypt", ...]}')
    parser.add_argument("--access-key-id", default="AKIADOUBLE0000000001")
    return parser.parse_args()


def start(chosen):
    """What a test must know, secrets of the doubles with it."""
    clock = Clock()
    policy = json.loads(chosen.policy.read_text()) if chosen.policy else None
    accounts = Accounts(clock, policy)
    administrator = accounts.add(Credentials(chosen.access_key_id, secrets.token_urlsafe(30)))
    regions = tuple(chosen.regions.split(","))
    trap = Trap(clock).start()
    kms = KmsDouble(accounts, regions, trap, certificate=chosen.certificate, key=chosen.key).start()
    issuer = CredentialsDouble(accounts, regions[0]).start()
    key = kms.store.create(regions[0], description="made at the start")
    kms.store.aliases[regions[0], ALIAS] = key.key_id
    return {
        "kms_url": kms.url,
        "credentials_url": issuer.url,
        "trap_url": trap.url,
        "region": regions[0],
        "regions": regions,
        "access_key_id": administrator.access_key_id,
        "secret_access_key": administrator.secret_access_key,
        "key_arn": key.arn,
        "alias": ALIAS,
        "role_arn": issuer.role_arn,
        "ecs_path": ECS_PATH,
        "eks_path": EKS_PATH,
        "authorization": issuer.authorization,
        "web_identity_token": issuer.web_identity_token,
    }


def main():
    print(json.dumps(start(options())), flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
