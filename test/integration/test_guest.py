# SPDX-License-Identifier: Apache-2.0
"""Programs in which the provider is a guest, and calls a KMS by TLS.

They fork, end, and use libcurl themselves, at any moment. Each is run a hundred
times, since what goes wrong there goes wrong seldom. The programs: test/guest.
"""
import concurrent.futures
import os
import subprocess
import time

import pytest

from aws_site import LOOP, elapsed, sanitizers
from conftest import BUILD, MODULE, ROOT, TIMEOUT_S
from doubles.echo import Echo
from doubles.kms_server import KmsDouble
from doubles.silent_names import NOT_ALLOWED

A = "eu-west-1"
RUNS = int(os.environ.get("KMSE_GUEST_RUNS", "100"))
AT_ONCE = 6
KEYS = ("emails", "orders", "in-callback", "in-multi", "after-cleanup")
GNUTLS_MODULE = BUILD / "gnutls" / "kms-envelope.so"
GUESTS = BUILD / "test" / "guest"
SILENT_NAMES = ROOT / "test" / "doubles" / "silent_names.py"
SUPPRESSIONS = ROOT / "test" / "guest" / "tsan.supp"
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
    aws_site.aws["TSAN_OPTIONS"] = f"suppressions={SUPPRESSIONS}"
    # It stops threads that are about to end, and falls over them.
    aws_site.aws["ASAN_OPTIONS"] = "detect_leaks=0"
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


@pytest.mark.skipif(bool(sanitizers()), reason="sanitizers do not keep their own locks through forks")
def test_forks(site, flavour):
    run_often(site, GUESTS / "guest_fork", "16")
    run_often(site, GUESTS / "guest_fork", "100", runs=RUNS // 20 + 1)


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


# A name server: libcurl asks it in a thread of its own, and waits for that.


@not_instrumented
def test_a_name_server_that_is_silent_keeps_to_the_deadline(site):
    site.at("https://kms.silent.test")
    enc = ("openssl", "enc", "-kms-envelope", "-K", site.enc_key("emails"))
    done, took_s = elapsed(lambda: site.run("/usr/bin/python3", SILENT_NAMES, *enc, input=b"anna"))
    if done.returncode == NOT_ALLOWED:
        pytest.skip("no namespaces for an ordinary user here")
    assert b"the KMS did not answer in time" in done.stderr, done.stderr
    assert took_s < 5 + 2  # the deadline of a call, and starting all that


# Programs that know nothing of it, and have it from openssl.cnf.


@not_instrumented
def test_curl_is_as_before(site, flavour, kms, authority, program):
    """Its own OPENSSL_init reads openssl.cnf; no libcurl is started in there."""
    run_often(site, program("curl"), "--silent", "--cacert", authority.bundle, kms.url)


@not_instrumented
def test_s_client_is_as_before(site, flavour, kms, authority, program):
    peer = kms.url.removeprefix("https://")
    options = ("-connect", peer, "-CAfile", authority.bundle, "-verify_return_error", "-brief")
    run_often(site, program("openssl"), "s_client", *options, runs=RUNS // 5 + 1)


def test_library_contexts_come_and_go(site, flavour):
    run_often(site, GUESTS / "guest_contexts", site.conf)


def with_properties(site, query, **settings):
    """Default properties in the configuration; the sections we need for that."""
    site.configure(**settings)
    text = site.conf.read_text().replace("[init]\n", "[init]\nalg_section = properties\n", 1)
    site.conf.write_text(f"{text}[properties]\ndefault_properties = {query}\n")


@pytest.mark.parametrize("query", ["fips=no", "?fips=yes", "?provider=kms-envelope", "?provider=default", "-fips"])
def test_default_properties_do_no_harm(site, query):
    with_properties(site, query)
    assert site.loop_once("anna")


def test_default_properties_that_take_tls_away_are_told(site):
    """Nobody has TLS for libcurl then: it is the configuration, not the KMS."""
    with_properties(site, "provider=kms-envelope")
    with site.loop() as loop:
        assert "is OpenSSL's default provider active?" in loop.encrypt_fails()


def test_default_properties_that_take_the_cipher_away_are_told(site):
    with_properties(site, "fips=yes")
    error = site.fails(LOOP, input=b"")
    assert "unsupported" in error and "KMS-ENVELOPE" in error


def test_without_the_default_provider_it_is_told(site):
    site.conf.write_text(site.conf.read_text().replace("default = default_section\n", ""))
    with site.loop() as loop:
        assert "is OpenSSL's default provider active?" in loop.encrypt_fails()


# What a process pays that only reads the configuration.

HTTP_LIBRARIES = ("libcurl", "libexpat", "libgnutls", "kms-envelope-http")


def loads(site, *command, **options):
    """Which of those libraries a command has loaded."""
    done = site.run("env", "LD_DEBUG=files", *command, **options)
    text = done.stderr.decode()
    assert done.returncode == 0, text
    assert "libcrypto.so" in text, "the loader tells nothing: this proves nothing"
    return [name for name in HTTP_LIBRARIES if name in text]


@not_instrumented
def test_libcurl_is_loaded_by_the_first_call_of_the_kms_alone(site):
    enc = ("openssl", "enc", "-kms-envelope", "-out", "/dev/null", "-K")
    site.create("local")
    assert not loads(site, "openssl", "list", "-providers")
    assert not loads(site, *enc, site.enc_key("local"), input=b"anna")
    assert "kms-envelope-http" in loads(site, *enc, site.enc_key("emails"), input=b"anna")


def test_no_library_is_needed_but_two(program):
    """What the module of the provider asks the loader for, beside the C library's."""
    headers = subprocess.run(
        (program("readelf"), "-d", MODULE), check=True, capture_output=True, timeout=TIMEOUT_S
    ).stdout.decode()
    needed = {line.split("[")[1].split(".so")[0] for line in headers.splitlines() if "(NEEDED)" in line}
    ours = {name for name in needed if not name.startswith(("libc", "ld-", "libm", "libasan", "libubsan", "libtsan"))}
    assert not ours and {"libcrypto", "libcjson"} <= needed
    assert "libcurl" not in needed
