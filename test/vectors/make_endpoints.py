#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes endpoints.json: where botocore finds KMS and STS, Region by Region.
With --check, only says whether botocore still says so of the Regions in the
file: a younger botocore knows more of them.

The four of each are plain, FIPS, dual-stack, and both.
"""
import itertools
import json
import pathlib
import sys

from with_botocore import run_with_botocore

run_with_botocore()
from botocore.endpoint_provider import EndpointProvider
from botocore.session import Session

FILE = pathlib.Path(__file__).with_name("endpoints.json")
SERVICES = ("kms", "sts")
# Of no Region, and yet near to one: each partition's form, and not quite.
MADE_UP = ("us-moon-1", "mx-west-12", "xx-north-1", "local", "a", "7-up",
           "cn-moon-1", "cn-moon", "cn-moon-a", "cn--1", "cn-a-1-1", "cnx-a-1",
           "us-gov-moon-3", "us-gov-1", "us-govx-a-1", "us-iso-moon-1",
           "us-iso-1", "us-isob-moon-1", "us-isoc-moon-1", "eu-isoe-moon-1",
           "us-isoe-moon-1", "us-isof-moon-1", "eu-isof-moon-1",
           "eusc-de-moon-1", "eusc-de-1", "eusc-fr-moon-1", "eusc-moon-1")


def regions(partitions):
    """aws-global and its like are of no use to a signer."""
    for partition in partitions["partitions"]:
        yield from (region for region in partition["regions"]
                    if not region.endswith("-global"))
    yield from MADE_UP


def endpoints(provider, region):
    for dualstack, fips in itertools.product((False, True), repeat=2):
        found = provider.resolve_endpoint(
            Region=region, UseFIPS=fips, UseDualStack=dualstack)
        yield found.url + "/"


def entries(wanted=None):
    """One a line."""
    loader = Session().get_component("data_loader")
    partitions = loader.load_data("partitions")
    providers = {service: EndpointProvider(loader.load_service_model(
        service, "endpoint-rule-set-1"), partitions) for service in SERVICES}
    for region in wanted or regions(partitions):
        yield json.dumps({"region": region, **{
            service: list(endpoints(provider, region))
            for service, provider in providers.items()}})


def whole_file(wanted=None):
    lines = ",\n  ".join(entries(wanted))
    return (f'{{\n "SPDX-License-Identifier": "Apache-2.0",\n'
            f' "regions": [\n  {lines}\n ]\n}}\n')


if sys.argv[1:] == ["--check"]:
    text = FILE.read_text()
    in_file = [entry["region"] for entry in json.loads(text)["regions"]]
    sys.exit(0 if whole_file(in_file) == text else f"{FILE}: make it anew")
FILE.write_text(whole_file())
