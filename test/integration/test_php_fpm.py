# SPDX-License-Identifier: Apache-2.0
"""A web server with 50 PHP workers encrypts through the agent: the workers are
another user, who has no credentials and reaches no KMS."""
import os
import pathlib
import tempfile
import time

import pytest

from conftest import version_of
from php_site import IS_ROOT, POOL_UID, STRANGER_UID, WORKERS, Fpm, Load, PhpSite, Prefork

TEXTS = [f"user {number}: anna@example.org".encode() for number in range(WORKERS)]
REVOKED = "the key version is revoked"


@pytest.fixture
def open_folder():
    """pytest's own folders are for its user alone, and their names too long for
    a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


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
    host.home.chmod(0o755)
    assert not list(host.home.iterdir())
    with server(host.application()) as web:
        assert not [name for name in web.environment() if name.startswith("AWS_") and "METADATA" not in name]
        refused = web.ask("encrypt", b"anna")
        assert refused.out is None
        assert "the agent cannot be asked" in refused.error
        with host.agent():
            time.sleep(1)
            assert web.ask("encrypt", b"anna").out
    assert kms.counts["Decrypt"] == 1
