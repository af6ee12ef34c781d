# SPDX-License-Identifier: Apache-2.0
"""Programs in which the provider is a guest, and calls a KMS by TLS.

They fork, end, and use libcurl themselves, at any moment. Each is run a hundred
times, since what goes wrong there goes wrong seldom. The programs: test/guest.
"""
import concurrent.futures
import os
import pathlib
import shutil
import socket
import subprocess
import time

import pytest

from aws_site import AwsSite, sanitizers
from conftest import BUILD, MODULE, TIMEOUT_S, TOOL, Site
from doubles.echo import Echo
from doubles.kms_server import KmsDouble
from doubles.sigv4 import Credentials

A = "eu-west-1"
RUNS = int(os.environ.get("KMSE_GUEST_RUNS", "100"))
AT_ONCE = 6
KEYS = ("emails", "orders", "in-callback", "in-multi", "after-cleanup")
GNUTLS_MODULE = BUILD / "gnutls" / "kms-envelope.so"
GUESTS = BUILD / "test" / "guest"
# Debian has both flavours of libcurl, others only the one.
needs_gnutls = pytest.mark.skipif(
    not os.path.exists("/etc/debian_version"), reason="one flavour of libcurl here"
)
not_instrumented = pytest.mark.skipif(
    bool(sanitizers()), reason="the program that loads us is not instrumented"
)


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("guest")


@pytest.fixture
def kms(accounts, certificate):
    started = KmsDouble(accounts, certificate=certificate.certificate, key=certificate.key).start()
    yield started
    started.stop()


@pytest.fixture
def site(aws_site, kms, authority):
    """Keys whose master key is reached by TLS."""
    assert kms.url.startswith("https://")
    aws_site.aws["AWS_CA_BUNDLE"] = str(authority.bundle)
    arn = kms.store.create(A).arn
    for name in KEYS:
        aws_site.create_at(arn, name=name)
    return aws_site


@pytest.fixture(params=["openssl", pytest.param("gnutls", marks=needs_gnutls)])
def flavour(request, site):
    """The HTTP module over each flavour of libcurl."""
    if request.param == "gnutls":
        site.configure(module=GNUTLS_MODULE)
    return request.param


def run_often(site, *command, code=0, runs=RUNS):
    """As often, several at a time; one that hangs ends at a timeout."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for done in pool.map(lambda _: site.run(*command), range(runs)):
            assert done.returncode == code, (done.returncode, done.stdout, done.stderr.decode())


# A program that uses libcurl and TLS itself.


@pytest.fixture
def download(certificate):
    """What comes bit by bit, and is not all there when the program encrypts."""
    server = Echo(certificate=certificate.certificate, key=certificate.key).start()
    server.control({"fault": "drip:0.003"})
    yield f"{server.url}/size/40"
    server.stop()


@pytest.mark.parametrize("start", ["first", "own-memory", "late"])
@pytest.mark.parametrize("program", ["guest_transfer", pytest.param("guest_transfer_gnutls", marks=needs_gnutls)])
def test_in_the_middle_of_a_transfer(site, download, authority, program, start):
    run_often(site, GUESTS / program, download, authority.bundle, start, runs=RUNS // 3 + 1)


@needs_gnutls
def test_in_the_middle_of_a_transfer_with_the_other_flavour(site, download, authority):
    site.configure(module=GNUTLS_MODULE)
    for program in ("guest_transfer", "guest_transfer_gnutls"):
        run_often(site, GUESTS / program, download, authority.bundle, "first", runs=RUNS // 4 + 1)


# Forks.


def test_forks(site, flavour):
    run_often(site, GUESTS / "guest_fork", "8")
    site.ok(GUESTS / "guest_fork", "100")


# Ends.


@pytest.mark.parametrize("way", ["exit", "return", "quick", "cleanup", "unload"])
def test_ends_in_a_call(site, flavour, way):
    run_often(site, GUESTS / "guest_end", way, "40000", code=7)


@pytest.mark.parametrize("way", ["exit", "return", "cleanup"])
def test_does_not_wait_for_a_kms_that_is_silent(site, kms, flavour, way):
    kms.control({"fault": "hang"})
    start = time.monotonic()
    run_often(site, GUESTS / "guest_end", way, "300000", code=7, runs=AT_ONCE)
    assert time.monotonic() - start < 4  # the deadline of a call is 5 s
