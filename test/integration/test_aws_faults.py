# SPDX-License-Identifier: Apache-2.0
"""A KMS, or the way to it, that fails in every way there is.

Each fault meets a program that stays (programs/evp_loop.c) and the tool: the
documented reason within the deadline, nothing written, and all well again when
it ends. They hold for a build with sanitizers as for any other.
"""
import dataclasses
import re
import time

import pytest

from aws_site import STORM, elapsed, sanitizers
from conftest import TOOL, version_of
from doubles.kms_server import KmsDouble
from doubles.servers import Trap

A = "eu-west-1"
TIMEOUT_S = 0.7
# The scheduler's, of two cores that others use, and a sanitizer's.
GRACE_S = 2.5
SETTINGS = {
    "max_age": "1s",
    "stale_if_unreachable": "0",
    "kms_timeout": f"{TIMEOUT_S * 1000:.0f}ms",
    "kms_connect_timeout": "300ms",
}


@pytest.fixture
def master(kms):
    return kms.store.create(A)


@pytest.fixture
def site(aws_site, master):
    aws_site.create_at(master.arn)
    aws_site.configure(**SETTINGS)
    return aws_site


@dataclasses.dataclass
class Fault:
    name: str
    reason: str
    words: tuple = (f"kms:Decrypt in {A}",)
    tries: int = 1  # of one call; 0: how many there is time for
    serves: bool = False  # a cached data key goes on, if it may be stale
    of_tool: str = ""  # what create says, where it is not the same

    def __str__(self):
        return self.name


UNREACHABLE = "the KMS is unreachable"
LATE = "the KMS did not answer in time"
THROTTLED = "the KMS is throttling"
BAD_ANSWER = "the KMS gave a bad answer"
DENIED = "the KMS denied access"
ANOTHER_KEY = "the KMS returned another data key"

FAULTS = [
    Fault("close", UNREACHABLE, (f"kms:Decrypt in {A}: 127.0.0.1", "see network, endpoint and proxy"), 3, True),
    Fault("reset", UNREACHABLE, (f"kms:Decrypt in {A}: 127.0.0.1",), 3, True),
    Fault("reset_mid_body", UNREACHABLE, (f"kms:Decrypt in {A}: 127.0.0.1",), 3, True),
    Fault("hang", LATE, (f"kms:Decrypt in {A}: 127.0.0.1", "see network, endpoint and proxy"), 0, True),
    Fault("slow:5", LATE, tries=0, serves=True),
    Fault("drip:0.02", LATE, tries=0, serves=True),
    Fault("500", UNREACHABLE, ("KMSInternalException",), 3, True),
    Fault("503", UNREACHABLE, ("HTTP status 503",), 3, True),
    Fault("throttling", THROTTLED, ("ThrottlingException: Rate exceeded",), 0, True),
    Fault("throttling:30", THROTTLED, ("ThrottlingException",), 1, True),
    Fault("truncated", BAD_ANSWER, tries=0),
    Fault("malformed_json", BAD_ANSWER, ("it is not JSON",)),
    Fault("oversized", BAD_ANSWER, ("65536",), 0),
    Fault("wrong_key_id", BAD_ANSWER, ("kms:Decrypt was answered by another key", "0000-4000-8000")),
    Fault("wrong_key_bytes", ANOTHER_KEY, ("version 1",), of_tool="data key"),
    Fault("key_31_bytes", BAD_ANSWER, ("Plaintext (of 32 bytes)",)),
    Fault("html_403", DENIED, ("HTTP status 403",)),
    Fault("redirect", BAD_ANSWER, ("HTTP status 302",), 0),
]


@pytest.fixture
def trap():
    """Where a redirect leads: nobody may come."""
    started = Trap().start()
    yield started
    assert not started.counts["visits"], "it followed a redirect"
    started.stop()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_told_in_time_and_got_over(site, kms, trap, fault):
    message = site.loop_once("anna")
    key_file = site.key_file().read_bytes()
    order = f"redirect:{trap.url}/" if fault.name == "redirect" else fault.name
    with site.loop() as loop:
        kms.control({"fault": order, "reset_counts": True})
        error, took_s = elapsed(lambda: loop.decrypt_fails(message))
        for word in (fault.reason, *fault.words):
            assert word in error, error
        assert took_s < TIMEOUT_S + GRACE_S
        if fault.tries:
            assert kms.counts["Decrypt"] == fault.tries
        assert fault.reason in loop.encrypt_fails("a plaintext that nobody sees")
        tool_meets(site, fault, key_file)
        kms.control({"fault": None})
        loop.recovers()
        assert loop.decrypt(message) == "anna"
    site.rotate()


def tool_meets(site, fault, key_file):
    """The tool says the same, and leaves all as it was."""
    error, took_s = elapsed(lambda: site.fails(TOOL, "rotate", "emails", "--keys", site.keys))
    assert fault.reason in error
    # To unwrap the newest, to generate, to prove: each has its own deadline.
    assert took_s < 3 * TIMEOUT_S + GRACE_S
    assert site.key_file().read_bytes() == key_file
    assert (fault.of_tool or fault.reason) in site.create_fails(site.kms_key(), name="orders")
    assert [path.name for path in site.keys.glob("*.json")] == ["emails.json"]


@pytest.mark.skipif(bool(sanitizers()), reason="openssl itself is not instrumented")
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_plaintext_is_written(site, kms, trap, fault):
    message = site.loop_once("a plaintext")
    kms.control({"fault": f"redirect:{trap.url}/" if fault.name == "redirect" else fault.name})
    target = site.folder / "out"
    enc = ("openssl", "enc", "-kms-envelope", "-K", "0", "-out", target)
    assert fault.reason in site.fails(*enc, "-d", input=message)
    assert target.read_bytes() == b""
    assert fault.reason in site.fails(*enc, input=b"a plaintext")
    assert b"a plaintext" not in target.read_bytes()


def test_a_refused_connection(site, kms):
    message = site.loop_once("anna")
    with site.loop() as loop:
        kms.stop()
        error, took_s = elapsed(lambda: loop.decrypt_fails(message))
        assert UNREACHABLE in error and "127.0.0.1" in error
        assert took_s < TIMEOUT_S + GRACE_S
        assert UNREACHABLE in site.create_fails(site.kms_key(), name="orders")
        kms.start()
        loop.recovers()


def test_a_host_that_dns_does_not_know(site, kms):
    message = site.loop_once("anna")
    site.configure(**{**SETTINGS, "kms_timeout": "5s"})
    site.at("https://nowhere.invalid")
    with site.loop() as loop:
        error, took_s = elapsed(lambda: loop.decrypt_fails(message))
        assert UNREACHABLE in error or LATE in error
        assert "nowhere.invalid" in error
        assert took_s < 5 + GRACE_S
    site.at(kms.url)
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"


# Tried again.


@pytest.mark.parametrize("fault", ["close", "reset", "reset_mid_body", "500", "503"])
def test_two_failures_are_got_over_unseen(site, kms, fault):
    site.configure(**{**SETTINGS, "kms_timeout": "5s"})
    message = site.loop_once("anna")
    kms.control({"fault": fault, "times": 2, "reset_counts": True})
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"
    assert (kms.counts["Decrypt"], kms.counts["faults"]) == (3, 2)


def test_retry_after_is_waited_for(site, kms):
    site.configure(**{**SETTINGS, "kms_timeout": "10s"})
    message = site.loop_once("anna")
    kms.control({"fault": "throttling:1", "times": 1, "reset_counts": True})
    with site.loop() as loop:
        _, took_s = elapsed(lambda: loop.decrypt(message))
    assert took_s >= 1
    assert kms.counts["Decrypt"] == 2


@pytest.mark.parametrize("fault", ["malformed_json", "wrong_key_id", "key_31_bytes", "html_403"])
def test_what_is_no_accident_is_not_tried_again(site, kms, fault):
    message = site.loop_once("anna")
    kms.control({"fault": fault, "times": 1, "reset_counts": True})
    with site.loop() as loop:
        loop.decrypt_fails(message)
    assert kms.counts["Decrypt"] == 1


def test_connections_are_kept_and_may_end(site, kms):
    message = site.loop_once("anna")
    with site.loop() as loop:
        kms.control({"reset_counts": True})
        for _ in range(3):
            assert loop.decrypt(message) == "anna"
            kms.cut()
            time.sleep(1.05)  # max-age
        assert kms.counts["Decrypt"] >= 3
        assert kms.counts["faults"] == 0


def test_one_connection_serves_many_versions(site, kms):
    messages = [site.loop_once("anna")]
    for _ in range(4):
        site.rotate()
        messages.append(site.loop_once("anna"))
    assert [version_of(message) for message in messages] == [1, 2, 3, 4, 5]
    with site.loop() as loop:
        kms.control({"reset_counts": True})
        for message in messages:
            assert loop.decrypt(message) == "anna"
    assert (kms.counts["Decrypt"], kms.counts["connections"]) == (5, 1)


# The clock.


@pytest.mark.parametrize("skew_s", [-600, 600])
def test_a_clock_that_is_ten_minutes_off_is_made_up_for(site, kms, skew_s):
    message = site.loop_once("anna")
    site.rotate()
    newer = site.loop_once("bert")
    kms.control({"skew_s": skew_s, "reset_counts": True})
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"
        assert (kms.counts["Decrypt"], kms.counts["error.InvalidSignatureException"]) == (2, 1)
        # It is remembered.
        assert loop.decrypt(newer) == "bert"
        assert (kms.counts["Decrypt"], kms.counts["error.InvalidSignatureException"]) == (3, 1)
    site.rotate()
    site.create_at(site.kms_key(), name="orders")


def test_a_kms_whose_clock_jumps_is_followed_once(site, kms):
    message = site.loop_once("anna")
    with site.loop() as loop:
        # One answer an hour ahead, and the next is of now: not to be followed.
        kms.control({"fault": "skew", "times": 1})
        error = loop.decrypt_fails(message)
        assert "no credentials for the KMS" in error and "InvalidSignatureException" in error
        loop.recovers()


# Credentials that are no good any more.


def test_expired_credentials(site, issuer):
    message = site.loop_once("anna")
    session = issuer.issue(issuer.role_arn, 60)
    site.use(session)
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"
        session.expires_s = time.time() - 1
        error = fails_within(loop, message, 4)
        assert "no credentials for the KMS" in error and "ExpiredTokenException" in error
        session.expires_s = time.time() + 60
        loop.recovers()


def fails_within(loop, message, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        worked, said = loop.ask(f"decrypt {message.hex()}")
        if not worked:
            return said
        time.sleep(0.05)
    raise AssertionError("it went on")


def test_a_secret_that_kms_does_not_know(site, administrator):
    message = site.loop_once("anna")
    site.use(dataclasses.replace(administrator, secret_access_key="another/secret+0123456789"))
    with site.loop() as loop:
        error = loop.decrypt_fails(message)
    assert "no credentials for the KMS" in error and "InvalidSignatureException" in error
    assert "environment" in error


# Certificates.


@pytest.fixture
def tls(site, accounts, kms, authority, tmp_path):
    """The same KMS behind TLS, with a certificate made to order."""
    started = []

    def start(made_by=authority, **details):
        pair = made_by.issue(f"kms-{len(started)}", **details)
        server = KmsDouble(accounts, certificate=pair.certificate, key=pair.key)
        server.store, server.actions = kms.store, kms.actions
        started.append(server.start())
        site.at(server.url)
        return server

    site.aws["AWS_CA_BUNDLE"] = str(authority.bundle)
    yield start
    for server in started:
        server.stop()


def test_a_good_certificate(site, tls):
    message = site.loop_once("anna")
    server = tls()
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"
    site.rotate()
    assert server.counts["Decrypt"] >= 2


BAD_CERTIFICATES = {
    "of nobody that is trusted": ({}, "certificate"),
    "of another host": ({"hosts": ["kms.eu-west-1.amazonaws.com"]}, "127.0.0.1"),
    "of last year": ({"from_days": -400, "to_days": -40}, "certificate"),
    "of next year": ({"from_days": 40, "to_days": 400}, "certificate"),
}


@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_a_bad_certificate(site, tls, tmp_path, authority, kind):
    from doubles.certificates import Authority

    details, word = BAD_CERTIFICATES[kind]
    message = site.loop_once("anna")
    stranger = Authority(tmp_path, "kms-envelope stranger")
    server = tls(stranger if kind.startswith("of nobody") else authority, **details)
    with site.loop() as loop:
        error, took_s = elapsed(lambda: loop.decrypt_fails(message))
        assert UNREACHABLE in error and word in error, error
        assert "see network, endpoint and proxy" in error
        assert took_s < TIMEOUT_S + GRACE_S
        assert UNREACHABLE in loop.encrypt_fails()
    assert UNREACHABLE in site.create_fails(site.kms_key(), name="orders")
    assert not server.counts["Decrypt"], "a request was sent"


def test_the_system_s_authorities_do_not_know_ours(site, tls):
    # All of them are read, which takes its time.
    site.configure(**{**SETTINGS, "kms_connect_timeout": "5s", "kms_timeout": "10s"})
    message = site.loop_once("anna")
    tls()
    del site.aws["AWS_CA_BUNDLE"]
    with site.loop() as loop:
        assert UNREACHABLE in loop.decrypt_fails(message)


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_a_bundle_that_is_none_is_named(site, tls, content):
    message = site.loop_once("anna")
    tls()
    bundle = site.folder / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    site.aws["AWS_CA_BUNDLE"] = str(bundle)
    with site.loop() as loop:
        error = loop.decrypt_fails(message)
    assert UNREACHABLE in error and str(bundle) in error, error


def test_tls_where_there_is_none_and_none_where_there_is(site, kms, tls):
    message = site.loop_once("anna")
    server = tls()
    site.at(server.url.replace("https", "http"))
    with site.loop() as loop:
        assert UNREACHABLE in loop.decrypt_fails(message)
    site.at(kms.url.replace("http", "https"))
    with site.loop() as loop:
        assert UNREACHABLE in loop.decrypt_fails(message)


@pytest.mark.parametrize("host", ["kms.example", "127.0.0.1.example", "localhost.example", "10.0.0.1"])
def test_plain_http_goes_to_this_machine_alone(site, host):
    message = site.loop_once("anna")
    site.at(f"http://{host}:1")
    with site.loop() as loop:
        error, took_s = elapsed(lambda: loop.decrypt_fails(message))
    assert f"http://{host}:1" in error and "only https://" in error, error
    assert took_s < GRACE_S, "it asked somebody"


# A cached data key, when it is too old.


def keeps_serving(loop, message, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert loop.decrypt(message) == "anna"
        loop.encrypt()
        time.sleep(0.05)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.serves], ids=str)
def test_it_serves_on_while_the_kms_is_away_and_stops_when_it_says_no(site, kms, accounts, fault):
    site.configure(**{**SETTINGS, "stale_if_unreachable": "1h"})
    message = site.loop_once("anna")
    with site.loop() as loop:
        loop.encrypt()
        kms.control({"fault": fault.name, "reset_counts": True})
        keeps_serving(loop, message, 1.6)
        assert kms.counts["faults"] > 0, "it did not ask"
        accounts.deny("*", "Decrypt")
        kms.control({"fault": None})
        # Its next question may be some seconds off: they double.
        assert DENIED in fails_within(loop, message, 10)
        accounts.deny("*", "Decrypt", denied=False)
        loop.recovers()


def test_it_serves_on_no_longer_than_it_may(site, kms):
    site.configure(**{**SETTINGS, "stale_if_unreachable": "1s"})
    message = site.loop_once("anna")
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"
        kms.control({"fault": "close"})
        keeps_serving(loop, message, 1.5)
        assert UNREACHABLE in fails_within(loop, message, 3)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.serves], ids=str)
def test_it_does_not_serve_on_after_an_answer_that_is_wrong(site, kms, trap, fault):
    site.configure(**{**SETTINGS, "stale_if_unreachable": "1h"})
    message = site.loop_once("anna")
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"
        kms.control({"fault": f"redirect:{trap.url}/" if fault.name == "redirect" else fault.name})
        assert fault.reason in fails_within(loop, message, 4)
        kms.control({"fault": None})
        loop.recovers()


# Sixteen threads.


class Storm:
    """programs/evp_storm.c: rows of every version, and new ones."""

    THREADS = 16

    def __init__(self, site, messages):
        rows = site.folder / "storm-rows"
        rows.write_text("".join(f"{message.hex()} {text}\n" for text, message in messages.items()))
        self.site = site
        self.process = site.start(STORM, self.THREADS, rows)

    def count(self):
        """(rounds that worked, that failed) since the last count."""
        self.process.stdin.write(b"count\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        assert answer, f"it ended: {self.process.stderr.read().decode()}"
        return int(answer[1]), int(answer[3])

    def end(self):
        out, err = self.process.communicate(timeout=60)
        self.site.check_secrets(out + err)
        assert self.process.returncode == 0, err.decode()


@pytest.mark.parametrize("stale", ["0", "1h"])
def test_sixteen_threads_in_a_storm(site, kms, accounts, trap, stale):
    site.configure(**{**SETTINGS, "stale_if_unreachable": stale})
    messages = {"row-1@example.org": site.loop_once("row-1@example.org")}
    site.rotate()
    messages["row-2@example.org"] = site.loop_once("row-2@example.org")
    storm = Storm(site, messages)
    before = storm_waits(storm, lambda worked, failed: worked > 0)
    assert before[1] == 0, "it failed without a fault"
    failed = 0
    for fault in FAULTS:
        kms.control({"fault": f"redirect:{trap.url}/" if fault.name == "redirect" else fault.name})
        time.sleep(0.4)
        kms.cut()
        failed += storm.count()[1]
    accounts.deny("*", "Decrypt")
    kms.control({"fault": None})
    failed += storm_waits(storm, lambda worked, failed: failed > 0)[1]
    accounts.deny("*", "Decrypt", denied=False)
    storm_waits(storm, lambda worked, failed: worked > 0 and failed == 0)
    assert failed > 0, "the faults were not met"
    assert kms.counts["faults"] >= 5
    storm.end()


def storm_waits(storm, enough, seconds=20):
    """Until a count is enough; that count."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.3)
        count = storm.count()
        if enough(*count):
            return count
    raise AssertionError(f"it did not come: {count}")


def test_sixteen_threads_that_need_a_key_make_one_call(site, kms):
    message = site.loop_once("row-1@example.org")
    site.configure(**{**SETTINGS, "max_age": "300s", "kms_timeout": "5s"})
    kms.control({"fault": "slow:0.5", "times": 1, "reset_counts": True})
    storm = Storm(site, {"row-1@example.org": message})
    storm_waits(storm, lambda worked, failed: worked > Storm.THREADS and failed == 0)
    storm.end()
    assert kms.counts["Decrypt"] == 1


# What is on the wire.


def test_no_request_says_more_than_it_must(site, kms):
    """The double would refuse what is not signed; this is what is sent."""
    seen = []
    answer = kms.answer

    def look(request):
        seen.append(request)
        return answer(request)

    kms.answer = look
    site.rotate()
    with site.loop() as loop:
        loop.encrypt()
    assert seen
    for request in seen:
        names = {name.lower() for name, _ in request.headers}
        assert names <= {
            "host", "accept", "content-type", "content-length", "user-agent", "authorization",
            "x-amz-date", "x-amz-target", "x-amz-content-sha256", "amz-sdk-invocation-id", "amz-sdk-request",
        }, names  # fmt: skip
        assert re.fullmatch(r"127\.0\.0\.1:\d+", request.header("Host"))
        for secret in site.secrets:
            assert secret not in str(request.headers) and secret.encode() not in request.body
