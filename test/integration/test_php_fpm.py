# SPDX-License-Identifier: Apache-2.0
"""A web server with 50 PHP workers encrypts through the agent: the workers are
another user, who has no credentials and reaches no KMS."""
import os
import pathlib
import time

import pytest

from aws_site import AWS_NAMES, sanitizers
from conftest import MODULE, version_of
from php_site import IS_ROOT, KEYS_GID, POOL_UID, STRANGER_UID, WORKERS, Fpm, Load, PhpSite, Prefork

TEXTS = [f"user {number}: anna@example.org".encode() for number in range(WORKERS)]
REVOKED = "the key version is revoked"


@pytest.fixture
def host(open_folder, kms, administrator):
    made = PhpSite(open_folder, kms)
    made.use(administrator)
    made.create_for_all(kms.store.create("eu-west-1").arn)
    kms.control({"reset_counts": True})
    return made


@pytest.fixture
def moto_host(open_folder, moto):
    made = PhpSite(open_folder)
    made.at(moto.url)
    made.aws["AWS_REGION"] = moto.region
    made.use(moto.credentials)
    made.create_for_all(moto.key_arn)
    moto.proxy.reset()
    return made


@pytest.fixture(params=(Fpm, Prefork), ids=("fpm", "prefork"))
def server(request):
    return request.param


@pytest.fixture
def agents():
    """One after another; none stays."""
    started = []
    yield started
    for agent in started:
        if agent.process.poll() is None:
            agent.kill()


def a_second_later():
    time.sleep(1)


def next_ones(messages):
    """Everybody's, for the next worker."""
    return messages[1:] + messages[:1]


def encrypted_by_each(web):
    """Each worker writes a message, which another one reads; by its text."""
    messages = web.each_does("encrypt", TEXTS)
    assert web.each_does("decrypt", next_ones(messages)) == next_ones(TEXTS)
    return messages


def owner_of(pid):
    return os.stat(f"/proc/{pid}").st_uid


# --- one call -----------------------------------------------------------------


def start_cold(host, server, counts):
    """Fifty workers need the data key in the same moment."""
    with host.agent() as agent, server(host.application()) as web:
        messages = encrypted_by_each(web)
        assert {version_of(message) for message in messages} == {1}
        assert {owner_of(pid) for pid in web.pids()} == {POOL_UID}
        assert counts()["Decrypt"] == 1
        numbers = agent.numbers()
        assert numbers["kms_envelope_agent_unwraps_total"] == 1
        assert numbers['kms_envelope_agent_fetches_total{outcome="lent"}'] == WORKERS
        (line,) = agent.audit()
        assert (line["event"], line["outcome"], line["peer"]["uid"]) == ("unwrap", "ok", POOL_UID)


def test_fifty_workers_cost_one_call(host, server, kms):
    start_cold(host, server, lambda: kms.counts)


def test_fifty_workers_cost_one_call_to_moto(moto_host, server, moto):
    start_cold(moto_host, server, lambda: moto.proxy.counts)


# --- no credentials -----------------------------------------------------------


def test_the_workers_have_no_credentials(host, server, kms):
    """The agent is away, and they cannot help themselves."""
    with server(host.application()) as web:
        environment = web.environment()
        assert [name for name in environment if AWS_NAMES.match(name)] == ["AWS_EC2_METADATA_DISABLED"]
        assert not pathlib.Path(environment["HOME"], ".aws").exists()
        refused = web.ask("encrypt", b"anna")
        assert refused.out is None
        assert "the agent cannot be asked" in refused.error
        with host.agent():
            a_second_later()
            assert web.ask("encrypt", b"anna").out
    assert kms.counts["Decrypt"] == 1


# With AddressSanitizer loaded, and nothing of ours, a lock of gettext's is broken
# in php-fpm: what loads GnuTLS, as a libcurl may, waits for it for ever.
@pytest.mark.skipif(sanitizers() != "", reason="no HTTP in a PHP with a sanitizer")
def test_who_may_ask_the_kms_himself_has_nothing_to_show(host, server, kms):
    """The same pool, with the HTTP module and leave to go round the agent."""
    application = host.application(
        module=host.agent_program.with_name(MODULE.name), agent_fallback="yes", aws_endpoint_url=kms.url
    )
    with server(application, workers=2) as web:
        refused = web.ask("encrypt", b"anna")
        assert refused.out is None
        assert "no credentials for the KMS" in refused.error
    assert not kms.counts["Decrypt"]


@pytest.mark.skipif(not IS_ROOT, reason="root's file is his own, too")
def test_a_worker_needs_its_key_file(host, server):
    host.key_file().chmod(0o600)
    with host.agent(), server(host.application(), workers=2) as web:
        assert "file error" in web.ask("encrypt", b"anna").error
        host.key_file().chmod(0o640)
        assert web.ask("encrypt", b"anna").out


# --- its life -----------------------------------------------------------------


def test_all_workers_see_a_rotation(host, server, kms):
    with host.agent(), server(host.application()) as web:
        old = encrypted_by_each(web)
        host.rotate()
        kms.control({"reset_counts": True})  # the rotation's own
        a_second_later()
        new = encrypted_by_each(web)
        assert {version_of(message) for message in old} == {1}
        assert {version_of(message) for message in new} == {2}
        assert web.each_does("decrypt", next_ones(old)) == next_ones(TEXTS)
        assert kms.counts["Decrypt"] == 1


def test_all_workers_stop_within_a_second_of_a_revocation(host, server):
    with host.agent(), server(host.application()) as web:
        old = encrypted_by_each(web)
        host.tool("revoke", "emails", "--keys", host.keys, "--version", "1", "--rotate", "--yes")
        a_second_later()
        errors = web.each_refuses("decrypt", old)
        assert all(REVOKED in error for error in errors), errors[0]
        assert {version_of(message) for message in encrypted_by_each(web)} == {2}


def test_a_graceful_reload_under_load_costs_no_message(host, server, kms):
    with host.agent(), server(host.application()) as web:
        before = web.pids()
        message = web.ask("encrypt", b"anna").out
        with Load(web) as load:
            for _ in range(2):
                web.reload()
                load.goes_on()
        after = web.pids()
        assert not before & after
        assert web.each_does("decrypt", [message] * WORKERS) == [b"anna"] * WORKERS
    assert kms.counts["Decrypt"] == 1


def test_an_agent_restarted_under_load_costs_no_message(host, server, agents):
    """Killed, or told to end: the workers go on with what they have, and come
    back to the next agent."""
    host.allow(max_age="1s")
    agents.append(host.agent().ready())
    with server(host.application(max_age="1s")) as web:
        encrypted_by_each(web)
        with Load(web) as load:
            for killed in (True, False, True):
                time.sleep(1.2)
                if killed:
                    agents[-1].kill()
                else:
                    agents[-1].stop()
                load.goes_on()
                agents.append(host.agent().ready())
                load.goes_on()
        until = time.monotonic() + 20
        while agents[-1].number('fetches_total{outcome="lent"}') < WORKERS:
            assert time.monotonic() < until, "they do not come back"
            encrypted_by_each(web)
        agents[-1].stop()


# --- policy -------------------------------------------------------------------


@pytest.mark.skipif(not IS_ROOT, reason="only root can be somebody else")
def test_another_user_s_workers_are_refused_and_told(host, server, kms):
    application = host.application()
    with (
        host.agent() as agent,
        server(application, workers=2) as web,
        server(application, uid=STRANGER_UID, workers=2, name="strangers") as strangers,
    ):
        message = web.ask("encrypt", b"anna").out
        refused = strangers.ask("decrypt", message)
        assert refused.out is None
        assert "the KMS denied access" in refused.error
        assert owner_of(refused.pid) == STRANGER_UID
        assert web.ask("decrypt", message).out == b"anna"
        (line,) = [line for line in agent.audit() if line["event"] == "refuse"]
        assert (line["key"], line["version"], line["outcome"], line["why"]) == ("emails", 1, "refused", "policy")
        assert line["peer"] == {"pid": refused.pid, "uid": STRANGER_UID, "gid": KEYS_GID}
        assert agent.number('refusals_total{cause="policy"}') == 1
    assert kms.counts["Decrypt"] == 1
