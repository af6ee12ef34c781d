# SPDX-License-Identifier: Apache-2.0
"""The agent of a host: one call to the KMS, whoever needs the data key."""
import os
import pathlib
import stat
import subprocess
import tempfile
import time

import pytest

from agent_site import (
    KEY_NOT_FOUND,
    KEY_VERSION_REVOKED,
    KEY_VERSION_UNKNOWN,
    KMS_DENIED,
    end_storm,
    refusal,
    storm,
    storm_count,
)
from conftest import BUILD, ROOT, TIMEOUT_S
from doubles import agent_client

ONCE = BUILD / "test" / "integration" / "evp_once"


# --- one call -----------------------------------------------------------------


def start_cold(site):
    """8 processes of 64 threads need the data key in the same moment."""
    processes = [site.start(ONCE, 64) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == b"ready\n", process.stderr.read().decode()
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, out) == (0, b"ok 64 failed 0\n"), err.decode()


def start_cold_with(site, agent):
    start_cold(site.application())
    numbers = agent.numbers()
    assert numbers["kms_envelope_agent_unwraps_total"] == 1
    assert numbers["kms_envelope_agent_kms_calls_total"] == 1
    assert numbers['kms_envelope_agent_fetches_total{outcome="lent"}'] == 8
    assert numbers['kms_envelope_agent_fetches_total{outcome="failed"}'] == 0


def test_eight_cold_processes_cost_one_unwrap(agent_site):
    with agent_site.agent() as agent:
        start_cold_with(agent_site, agent)


def test_eight_cold_processes_cost_one_call_to_aws(aws_agent_site, kms):
    kms.control({"fault": "slow:0.3", "reset_counts": True})
    with aws_agent_site.agent() as agent:
        start_cold_with(aws_agent_site, agent)
    assert kms.counts["Decrypt"] == 1


def test_without_an_agent_each_process_costs_one(aws_agent_site, kms):
    kms.control({"fault": "slow:0.3", "reset_counts": True})
    start_cold(aws_agent_site)
    assert kms.counts["Decrypt"] == 8


def test_an_application_needs_no_master_key(agent_site):
    application = agent_site.application()
    with agent_site.agent() as agent:
        message = application.loop_once("anna")
        agent_site.master_key.rename(agent_site.folder / "locked-away")
        with application.loop() as loop:
            assert loop.decrypt(message) == "anna"
        assert agent.number("unwraps_total") == 1


def test_a_rotation_is_seen_through_the_agent(agent_site):
    application = agent_site.application()
    with agent_site.agent() as agent, application.loop() as loop:
        first = loop.encrypt("anna")
        agent_site.rotate()
        time.sleep(1)
        second = loop.encrypt("anna")
        assert (first[3], second[3]) == (1, 2)
        assert loop.decrypt(first) == loop.decrypt(second) == "anna"
        assert agent.number("unwraps_total") == 2


def test_a_revocation_stops_every_process_and_the_agent(agent_site):
    """Here both have the same key files; who has others asks within max-age."""
    application = agent_site.application()
    loops = [application.loop() for _ in range(8)]
    with agent_site.agent() as agent:
        messages = [loop.encrypt("anna") for loop in loops]
        agent_site.tool("revoke", "emails", "--keys", agent_site.keys, "--version", 1, "--rotate", "--yes")
        time.sleep(1)
        for loop, message in zip(loops, messages):
            assert "the key version is revoked" in loop.decrypt_fails(message)
            assert loop.encrypt("berta")[3] == 2
        assert refusal(agent.fetch).reason == KEY_VERSION_REVOKED
        assert 'kms_envelope_agent_key_serves_seconds{key="emails",version="1"}' not in agent.numbers()
        for loop in loops:
            with loop:
                pass


# --- without it ---------------------------------------------------------------


def test_without_an_agent_it_says_so(agent_site):
    application = agent_site.application()
    with application.loop() as loop:
        error = loop.encrypt_fails()
        assert "the agent cannot be asked: key emails, version 1" in error
        assert f"{agent_site.socket}: cannot connect: No such file" in error
        assert "start kms-envelope agent, or set agent-fallback = yes" in error
        with agent_site.agent():
            loop.recovers()


def test_without_an_agent_it_asks_the_kms_where_it_may(agent_site):
    application = agent_site.application(agent_fallback="yes")
    message = application.loop_once("anna")
    with agent_site.agent() as agent, application.loop() as loop:
        assert loop.decrypt(message) == "anna"
        assert agent.number("unwraps_total") == 1


def test_an_agent_killed_under_load_costs_no_message(agent_site, agent_rows):
    """Each process asks about every second, and goes on while nobody answers."""
    agent_site.allow(max_age="1s")
    application = agent_site.application(max_age="1s")
    with agent_site.agent() as first:
        processes = [storm(application, 4, agent_rows) for _ in range(4)]
        for process in processes:
            while storm_count(process)[0] == 0:
                time.sleep(0.05)
        agent = first
        for _ in range(3):
            time.sleep(1.2)
            agent.kill()
            assert agent_site.socket.exists()
            time.sleep(0.5)
            agent = agent_site.agent().ready()
        asked = agent.number("connections_total")
        # Who met nobody tries again in a second, two, four.
        until = time.monotonic() + 20
        while agent.number("fetches_total{outcome=\"lent\"}") < 4:
            assert time.monotonic() < until, "they do not come back"
            time.sleep(0.2)
        counts = [end_storm(process) for process in processes]
        assert all(ok > 0 and failed == 0 for ok, failed in counts), counts
        assert agent.number("connections_total") > asked
        agent.stop()


# --- many, slow and false clients ---------------------------------------------


def test_a_thousand_idle_clients_do_no_harm(agent_site):
    application = agent_site.application()
    with agent_site.agent() as agent:
        idle = [agent_client.connect(agent_site.socket) for _ in range(1000)]
        begin = time.monotonic()
        assert application.loop_once("anna")
        assert agent.number("connections") > 1000
        # Nobody may stay who does not ask.
        idle[-1].settimeout(15)
        assert idle[-1].recv(1) == b""
        assert 9 < time.monotonic() - begin < 15
        assert all(client.recv(1) == b"" for client in idle)
        assert agent.number('connections_dropped_total{cause="idle"}') == 1000
        assert agent.number("connections") == 1


def test_where_there_are_too_many_the_oldest_idle_one_goes(agent_site):
    agent_site.allow(max_connections_per_user=50)
    with agent_site.agent() as agent:
        idle = [agent_client.connect(agent_site.socket) for _ in range(60)]
        assert len(agent.fetch()[0]) == 32
        dropped = agent.number('connections_dropped_total{cause="crowded"}')
        # Ten for the sixty, and one for the fetch, whose place is free again.
        assert dropped == 11
        for client in idle[:11]:
            assert client.recv(1) == b""
        idle[-1].send(agent_client.fetch_packet("emails", agent_site.key_id(), 1))
        assert len(agent_client.receive(idle[-1])) == 48


GARBAGE = {
    "empty-name": agent_client.MAGIC + b"\1\0" + bytes(36),
    "unknown": agent_client.MAGIC + b"\3",
    "newer": b"KEA\2\2",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "one-byte": b"\0",
    "short": agent_client.fetch_packet("emails", bytes(16), 1)[:-1],
    "long": agent_client.fetch_packet("emails", bytes(16), 1) + b"x",
    "path": agent_client.fetch_packet("../emails", bytes(16), 1),
    "version-0": agent_client.fetch_packet("emails", bytes(16), 0),
    "oversized": agent_client.MAGIC + bytes((1,)) + bytes(4096),
    "huge": bytes(100000),
}


def test_garbage_is_closed_and_counted(agent_site):
    with agent_site.agent() as agent:
        for count, packet in enumerate(GARBAGE.values(), 1):
            with agent_client.connect(agent_site.socket) as client:
                client.send(packet)
                try:
                    assert client.recv(4096) == b"", packet[:40]
                except ConnectionResetError:
                    pass
            assert agent.number('refusals_total{cause="request"}') == count
        assert len(agent.fetch()[0]) == 32


def test_who_goes_before_the_answer_is_no_matter(agent_site):
    with agent_site.agent() as agent:
        for _ in range(100):
            with agent_client.connect(agent_site.socket) as client:
                client.send(agent_client.fetch_packet("emails", agent_site.key_id(), 1))
        assert len(agent.fetch()[0]) == 32
        assert agent.number("connections") == 1


def test_a_client_that_says_more_gets_one_answer(agent_site):
    packet = agent_client.fetch_packet("emails", agent_site.key_id(), 1)
    with agent_site.agent() as agent:
        agent.fetch()
        with agent_client.connect(agent_site.socket) as client:
            client.send(packet)
            answer = agent_client.receive(client)
            assert len(answer) == 48
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                client.send(packet)
                while agent_client.receive(client):
                    pass
                client.send(packet)


# --- policy -------------------------------------------------------------------


def test_who_is_not_allowed_is_refused_and_told(agent_site):
    agent_site.create("payroll")
    agent_site.allow({"us": {"key": "email?", "uid": os.geteuid()}, "nobody": {"key": "*", "uid": 4000000000}})
    application = agent_site.application()
    with agent_site.agent() as agent:
        assert application.loop_once("anna")
        refused = refusal(lambda: agent.fetch("payroll"))
        assert refused.reason == KMS_DENIED
        assert f"user {os.geteuid()} may not have the key payroll" in str(refused)
        with application.loop("payroll") as loop:
            error = loop.encrypt_fails()
        assert "the KMS denied access: key payroll, version 1: the agent says: user" in error
        lines = [line for line in agent.audit() if line["event"] == "refuse"]
        assert [(line["key"], line["version"], line["outcome"], line["why"]) for line in lines] == [
            ("payroll", 1, "refused", "policy")
        ] * 2
        assert lines[0]["peer"] == {"pid": os.getpid(), "uid": os.geteuid(), "gid": os.getegid()}
        assert agent.number('refusals_total{cause="policy"}') == 2
        # Nothing was looked for.
        assert agent.number("kms_calls_total") == 1


def test_a_fallback_does_not_go_round_the_policy(agent_site):
    agent_site.allow({"nobody": {"key": "*", "uid": 4000000000}})
    application = agent_site.application(agent_fallback="yes")
    with agent_site.agent(), application.loop() as loop:
        assert "may not have the key emails" in loop.encrypt_fails()


def as_nobody(*words):
    """The client alone, as a user who may nothing."""
    client = (ROOT / "test" / "doubles" / "agent_client.py").read_text()
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", client]
    command += [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, cwd="/", check=False, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_known_by_the_kernel(agent_site):
    with tempfile.TemporaryDirectory() as open_folder:
        os.chmod(open_folder, 0o755)
        agent_site.socket = pathlib.Path(open_folder) / "agent.sock"
        agent_site.allow()
        wanted = (agent_site.socket, "fetch", "emails", agent_site.key_id().hex(), 1)
        with agent_site.agent() as agent:
            assert stat.S_IMODE(agent_site.socket.stat().st_mode) == 0o666
            assert as_nobody(*wanted).startswith(f"refused {KMS_DENIED}: user 65534 may not")
            assert as_nobody(agent_site.socket, "status").startswith(f"refused {KMS_DENIED}: this user")
            peer = agent.audit()[-1]["peer"]
            assert (peer["uid"], peer["gid"]) == (65534, 65534)
            agent_site.allow({"group": {"key": "*", "gid": 65534}}, status_uid="nobody")
            assert "new configuration" in agent.reload()
            assert as_nobody(*wanted) == "lent\n"
            assert "kms_envelope_agent_info" in as_nobody(agent_site.socket, "status")


def test_the_agent_goes_by_its_own_key_files(agent_site):
    with agent_site.agent() as agent:
        refused = refusal(lambda: agent.fetch(version=2))
        assert refused.reason == KEY_VERSION_UNKNOWN
        refused = refusal(lambda: agent.fetch(key_id=bytes(16)))
        assert refused.reason == KEY_NOT_FOUND and "another key of that name" in str(refused)
        refused = refusal(lambda: agent.fetch("other", key_id=bytes(16)))
        assert refused.reason == KEY_NOT_FOUND and "other.json" in str(refused)
        refused = refusal(lambda: agent.fetch(".hidden", key_id=bytes(16)))
        assert "not a key's name" in str(refused)
        assert agent.number("kms_calls_total") == 0
