# SPDX-License-Identifier: Apache-2.0
"""The agent of a host: one call to the KMS, whoever needs the data key."""
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pytest

from agent_site import parse_metrics
from aws_site import STORM, sanitizers
from conftest import BUILD, ROOT, TIMEOUT_S, TOOL
from doubles import agent_client

ONCE = BUILD / "test" / "integration" / "evp_once"
# provider/base/status.h
KEY_NOT_FOUND, KEY_VERSION_UNKNOWN, KMS_UNREACHABLE, KMS_DENIED = 41, 42, 81, 83


def storm(site, threads, rows):
    """A program of many threads, as fast as they can: programs/evp_storm.c."""
    return site.start(STORM, threads, rows)


def storm_count(process):
    """(messages that worked, that failed) since the last time."""
    process.stdin.write(b"count\n")
    process.stdin.flush()
    words = process.stdout.readline().split()
    assert words, process.stderr.read().decode()
    return int(words[1]), int(words[3])


def end_storm(process):
    ok, failed = storm_count(process)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err.decode()
    return ok, failed


@pytest.fixture
def rows(agent_site):
    """A file with an old row, which the administrator has written."""
    path = agent_site.folder / "rows"
    path.write_text(f"{agent_site.loop_once('anna@example.org').hex()} anna@example.org\n")
    return path


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


def test_an_agent_killed_under_load_costs_no_message(agent_site, rows):
    """Each process asks about every second, and goes on while nobody answers."""
    agent_site.allow(max_age="1s")
    application = agent_site.application(max_age="1s")
    with agent_site.agent() as first:
        processes = [storm(application, 4, rows) for _ in range(4)]
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


def refusal(call):
    with pytest.raises(agent_client.Refused) as refused:
        call()
    return refused.value


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


# --- its life -----------------------------------------------------------------


def test_a_reload_changes_the_policy_and_keeps_the_keys(agent_site):
    with agent_site.agent() as agent:
        agent.fetch()
        agent_site.allow({"nobody": {"key": "*", "uid": 4000000000}})
        assert "new configuration" in agent.reload()
        assert refusal(agent.fetch).reason == KMS_DENIED
        agent_site.allow()
        assert "new configuration" in agent.reload()
        agent.fetch()
        numbers = agent.numbers()
        assert numbers["kms_envelope_agent_unwraps_total"] == 1
        assert numbers['kms_envelope_agent_reloads_total{outcome="ok"}'] == 2


def test_a_bad_configuration_changes_nothing(agent_site):
    with agent_site.agent() as agent:
        agent_site.allow(max_age="soon")
        said = agent.reload()
        assert "the old configuration stays in force: bad value in the configuration" in said
        assert "section [agent]: max-age = soon" in said
        agent_site.agent_conf.unlink()
        assert "agent.cnf" in agent.reload()
        agent.fetch()
        assert agent.number('reloads_total{outcome="failed"}') == 2


def test_a_reload_with_other_settings_of_the_ring_begins_anew(agent_site):
    with agent_site.agent() as agent:
        agent.fetch()
        agent_site.allow(max_age="10s")
        agent.reload()
        assert agent.fetch()[1] <= 10000
        # Numbers go on where they were.
        assert agent.number("unwraps_total") == 2


def test_reloads_under_load(agent_site, rows):
    agent_site.allow(max_age="1s")
    application = agent_site.application(max_age="1s")
    with agent_site.agent() as agent:
        process = storm(application, 8, rows)
        for number in range(10):
            agent_site.allow(max_age=f"{1 + number % 2}s")
            assert "new configuration" in agent.reload()
            agent.fetch()
        ok, failed = end_storm(process)
        assert ok > 0 and failed == 0


def test_the_audit_file_is_opened_anew(agent_site):
    path = agent_site.folder / "audit"
    agent_site.allow(audit=path)
    with agent_site.agent() as agent:
        agent.fetch()
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.rename(agent_site.folder / "audit.1")
        agent.reload()
        assert path.read_text() == ""
        refusal(lambda: agent.fetch(version=7))
        agent_site.rotate()
        agent.fetch(version=2)
        assert '"event":"unwrap"' in path.read_text()


def test_one_agent_has_a_socket(agent_site):
    with agent_site.agent() as agent:
        second = agent_site.agent()
        assert second.process.wait(timeout=TIMEOUT_S) == 1
        assert "another agent has it" in second.log
        agent.fetch()
    agent_site.socket.write_text("not a socket")
    third = agent_site.agent()
    assert third.process.wait(timeout=TIMEOUT_S) == 1
    assert "is no socket: not replaced" in third.log
    assert agent_site.socket.read_text() == "not a socket"
    agent_site.socket.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with listening:
        listening.bind(str(agent_site.socket))
        listening.listen()
        fourth = agent_site.agent()
        assert fourth.process.wait(timeout=TIMEOUT_S) == 1
        assert "somebody else listens there" in fourth.log
    with agent_site.agent() as agent:
        agent.fetch()


@pytest.mark.parametrize("how", (signal.SIGTERM, signal.SIGINT))
def test_it_ends_when_told(agent_site, how):
    agent = agent_site.agent().ready()
    agent.fetch()
    idle = agent_client.connect(agent_site.socket)
    agent.stop(how)
    assert idle.recv(1) == b""
    assert not agent_site.socket.exists()


def in_thread(call):
    """It, begun; call the result for what it gave."""
    given = []
    thread = threading.Thread(target=lambda: given.append(call()))
    thread.start()

    def result():
        thread.join(TIMEOUT_S)
        return given[0]

    return result


def wait_for_call(kms, action="Decrypt"):
    until = time.monotonic() + 10
    while not kms.counts[action]:
        assert time.monotonic() < until, "it was never asked"
        time.sleep(0.02)


def test_who_waits_for_the_kms_is_answered_before_the_end(aws_agent_site, kms):
    kms.control({"fault": "slow:1.5", "reset_counts": True})
    agent = aws_agent_site.agent().ready()
    fetched = in_thread(agent.fetch)
    wait_for_call(kms)
    agent.stop()
    assert len(fetched()[0]) == 32


def test_the_end_does_not_wait_for_a_kms_for_ever(aws_agent_site, kms):
    aws_agent_site.allow(kms_timeout="60s")
    kms.control({"fault": "hang", "reset_counts": True})
    agent = aws_agent_site.agent().ready()
    fetched = in_thread(lambda: refusal(agent.fetch))
    wait_for_call(kms)
    begin = time.monotonic()
    agent.stop()
    assert 4 < time.monotonic() - begin < 20
    assert fetched().reason == KMS_UNREACHABLE


def test_a_second_signal_ends_it_at_once(aws_agent_site, kms):
    aws_agent_site.allow(kms_timeout="60s")
    kms.control({"fault": "hang", "reset_counts": True})
    agent = aws_agent_site.agent().ready()
    fetched = in_thread(lambda: refusal(agent.fetch))
    wait_for_call(kms)
    begin = time.monotonic()
    agent.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    agent.stop()
    assert time.monotonic() - begin < 4
    assert fetched().reason == KMS_UNREACHABLE


# --- a KMS that fails ---------------------------------------------------------


def test_a_hanging_kms_stops_no_other_key(aws_agent_site, kms):
    """One master key hangs; who needs the other does not wait for it."""
    site = aws_agent_site
    site.create("local")
    site.allow(workers=1, kms_timeout="60s")
    agent = site.agent().ready()
    agent.fetch("local")
    kms.control({"fault": "hang", "reset_counts": True})
    waiting = [in_thread(lambda: refusal(agent.fetch)) for _ in range(5)]
    wait_for_call(kms)
    for _ in range(5):
        begin = time.monotonic()
        agent.fetch("local")
        assert time.monotonic() - begin < 1
        time.sleep(0.3)
    assert agent.number("jobs") == 1, "who waits for the same waits together"
    agent.process.send_signal(signal.SIGTERM)
    agent.stop()
    assert [result().reason for result in waiting] == [KMS_UNREACHABLE] * 5


def test_a_kms_that_is_away_is_counted_down_and_fails_closed(aws_agent_site, kms):
    site = aws_agent_site
    site.allow(max_age="1s", stale_if_unreachable="4s", kms_timeout="500ms")
    application = site.application(max_age="1s", stale_if_unreachable="4s")
    fresh, serves = (f'key_{word}_seconds{{key="emails",version="1"}}' for word in ("fresh", "serves"))
    with site.agent() as agent, application.loop() as loop:
        message = loop.encrypt("anna")
        kms.control({"fault": "close"})
        time.sleep(2)
        assert loop.decrypt(message) == "anna"
        assert agent.number(fresh) < 0
        assert 0 < agent.number(serves) < 4
        time.sleep(1)
        assert loop.decrypt(message) == "anna"
        numbers = agent.numbers()
        assert numbers["kms_envelope_agent_stale_serves_total"] > 0
        assert numbers['kms_envelope_agent_kms_errors_total{class="unreachable"}'] > 0
        time.sleep(4)
        assert "the KMS is unreachable" in loop.decrypt_fails(message)
        kms.control({"fault": None})
        loop.recovers()


def test_a_no_of_the_kms_reaches_every_process(aws_agent_site, kms, accounts, administrator):
    site = aws_agent_site
    site.allow(max_age="1s")
    application = site.application(max_age="1s")
    with site.agent() as agent, application.loop() as loop:
        message = loop.encrypt("anna")
        accounts.deny(administrator.access_key_id, "Decrypt")
        time.sleep(2.2)
        assert "the KMS denied access" in loop.decrypt_fails(message)
        failed = [line for line in agent.audit() if line["outcome"] == "the KMS denied access"]
        assert failed and "AccessDenied" in failed[0]["why"]
        accounts.deny(administrator.access_key_id, "Decrypt", False)
        loop.recovers()


# --- what it tells ------------------------------------------------------------


def test_an_unwrap_is_in_the_audit_with_who_wanted_it(aws_agent_site, kms):
    application = aws_agent_site.application()
    with aws_agent_site.agent() as agent, application.loop() as loop:
        loop.encrypt("anna")
        (line,) = agent.audit()
        assert line["event"] == "unwrap" and line["outcome"] == "ok"
        assert (line["key"], line["version"]) == ("emails", 1)
        assert line["master-key"] == f"aws-kms:{aws_agent_site.kms_key()}"
        assert len(line["request-id"]) == 36
        assert (line["peer"]["uid"], line["peer"]["gid"]) == (os.geteuid(), os.getegid())
        if sanitizers() != "thread":  # setarch becomes the program, but who knows
            assert line["peer"]["pid"] == loop.process.pid


def test_a_refresh_ahead_of_expiry_is_nobodys(agent_site):
    agent_site.allow(max_age="2s")
    with agent_site.agent() as agent:
        until = time.monotonic() + 10
        while len(agent.audit()) < 2:
            assert time.monotonic() < until
            agent.fetch()
            time.sleep(0.1)
        assert agent.audit()[0]["peer"]["pid"] == os.getpid()
        assert agent.audit()[1]["peer"] is None
        assert agent.number("misses_total") == 1


def test_what_processes_encrypt_is_summed_up(agent_site):
    agent_site.allow(max_age="1s")
    application = agent_site.application(max_age="1s")
    used = 'messages_total{key="emails",version="1"}'
    with agent_site.agent() as agent, application.loop() as loop:
        until = time.monotonic() + 20
        for number in range(1000):
            loop.encrypt(f"row {number}")
        while agent.number(used) < 1000 - 256:
            assert time.monotonic() < until, agent.number(used)
            loop.encrypt("one more")
            time.sleep(0.1)
        assert agent.number('bytes_total{key="emails",version="1"}') >= 5000


def test_numbers_are_for_people_and_programs(agent_site):
    application = agent_site.application()
    with agent_site.agent() as agent:
        agent.fetch()
        table = agent_site.tool("status", "--live", "--socket", agent_site.socket)
        assert table.splitlines()[0].split() == ["KEY", "VERSION", "FRESH", "SERVES", "FAILURES", "MESSAGES", "BYTES"]
        assert table.splitlines()[1].split()[:2] == ["emails", "1"]
        assert "unwraps_total" in table
        # openssl.cnf says where it is, too.
        told = json.loads(application.tool("status", "--live", "--json"))
        assert told["socket"] == str(agent_site.socket)
        samples = {(sample["name"], *sample["labels"].values()): sample["value"] for sample in told["samples"]}
        assert samples["unwraps_total",] == 1
        assert samples["key_fresh_seconds", "emails", "1"] > 200
    error = agent_site.fails(TOOL, "status", "--live", "--socket", agent_site.socket)
    assert "the agent cannot be asked" in error
    agent_site.fails(TOOL, "status", "--live", "--keys", agent_site.keys, code=2)
    agent_site.fails(TOOL, "status", "--socket", agent_site.socket, code=2)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_prometheus_may_ask_on_loopback(agent_site):
    port = free_port()
    agent_site.allow(metrics_port=port)
    with agent_site.agent() as agent:
        agent.fetch()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
            text = answer.read().decode()
        assert parse_metrics(text)["kms_envelope_agent_unwraps_total"] == 1
        for path, data in (("/", None), ("/metrics", b"x"), ("/../metrics", None)):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=10)
        second = agent_site.agent("--socket", agent_site.folder / "other.sock")
        assert second.process.wait(timeout=TIMEOUT_S) == 1
        assert f"metrics-port {port}: Address already in use" in second.log


def test_its_memory_is_its_own(agent_site):
    with agent_site.agent() as agent:
        agent.fetch()
        pid = agent.process.pid
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        with open(f"/proc/{pid}/limits", encoding="utf-8") as file:
            limits = {line[:26].strip(): line[26:].split() for line in file}
        assert limits["Max core file size"][:2] == ["0", "0"]
        assert status["NoNewPrivs"] == "1"
        # A sanitizer makes mlock do nothing, and say that it did.
        if agent.number("keys_locked") and not sanitizers():
            assert int(status["VmLck"].split()[0]) >= 16


# --- systemd ------------------------------------------------------------------


# Systemd forks before it knows the process id: LISTEN_PID is set after that.
BE_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
"""


def given(site, kind, count=1):
    """A socket, and how the agent gets it from systemd."""
    listening = socket.socket(socket.AF_UNIX, kind)
    listening.bind(str(site.socket))
    listening.listen(16)
    prefix = ("/usr/bin/python3", "-c", BE_SYSTEMD, listening.fileno(), count)
    return listening, {"prefix": prefix, "pass_fds": (listening.fileno(),)}


def test_systemd_gives_a_socket_and_is_told(agent_site):
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify_path = agent_site.folder / "notify"
    notified.bind(str(notify_path))
    notified.settimeout(10)
    agent_site.socket_is_given = True
    listening, how = given(agent_site, socket.SOCK_SEQPACKET)
    with listening, notified:
        env = {"NOTIFY_SOCKET": str(notify_path), "WATCHDOG_USEC": "400000"}
        with agent_site.agent(env=env, **how) as agent:
            assert notified.recv(100) == b"READY=1"
            assert notified.recv(100) == b"WATCHDOG=1"
            agent.fetch()
            agent.reload()
            said = [notified.recv(100) for _ in range(4)]
            reloading = [word for word in said if word != b"WATCHDOG=1"]
            assert reloading[0].startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert b"READY=1" in reloading
        said = [notified.recv(100)]
        while said[-1] != b"STOPPING=1":
            said.append(notified.recv(100))
        # Systemd's socket is systemd's.
        assert agent_site.socket.exists()


@pytest.mark.parametrize(
    "kind, count, words", ((socket.SOCK_STREAM, 1, "ListenSequentialPacket="), (socket.SOCK_SEQPACKET, 2, "one socket"))
)
def test_another_socket_from_systemd_is_refused(agent_site, kind, count, words):
    listening, how = given(agent_site, kind, count)
    with listening:
        agent = agent_site.agent(**how)
        assert agent.process.wait(timeout=TIMEOUT_S) == 1
        assert words in agent.log
