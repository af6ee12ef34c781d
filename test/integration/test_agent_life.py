# SPDX-License-Identifier: Apache-2.0
"""The agent's life: its start, its end, a KMS that fails, and what it tells."""
import json
import os
import signal
import socket
import stat
import threading
import time
import urllib.error
import urllib.request

import pytest

from agent_site import KMS_DENIED, KMS_UNREACHABLE, end_storm, parse_metrics, refusal, storm
from aws_site import sanitizers
from conftest import TIMEOUT_S, TOOL
from doubles import agent_client


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


def test_reloads_under_load(agent_site, agent_rows):
    agent_site.allow(max_age="1s")
    application = agent_site.application(max_age="1s")
    with agent_site.agent() as agent:
        process = storm(application, 8, agent_rows)
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


def wait_for_use(agent, loop, messages):
    """That many have been counted: the program tells when it asks anew."""
    until = time.monotonic() + 20
    while agent.number('messages_total{key="emails",version="1"}') < messages:
        assert time.monotonic() < until
        loop.encrypt("one more")
        time.sleep(0.1)


def test_a_key_that_is_used_up_is_due(agent_site):
    """By age it never is: the agent counts, and the administrator's verbs ask."""
    words = ("rotate", "--all", "--if-due", "--keys", agent_site.keys, "--socket", agent_site.socket)
    agent_site.tool("policy", "emails", "--max-messages", 2000, "--keys", agent_site.keys)
    agent_site.allow(max_age="1s")
    application = agent_site.application(max_age="1s")
    with agent_site.agent() as agent, application.loop() as loop:
        loop.encrypt("anna")
        assert "version 2" not in agent_site.tool(*words)
        for number in range(1800):
            loop.encrypt(f"row {number}")
        wait_for_use(agent, loop, 1500)
        seen = agent_site.run(TOOL, "status", "--json", "--keys", agent_site.keys, "--socket", agent_site.socket)
        assert "emails: this host has used most of its max-messages: kms-envelope rotate" in seen.stderr.decode()
        used = json.loads(seen.stdout)["keys"][0]["used"]
        assert used["version"] == 1 and used["messages"] >= 1500 and used["rotation-due"] is True
        said = application.run(TOOL, "doctor", "--keys", agent_site.keys).stdout.decode()
        assert "FINDING  emails: this host has used most of its max-messages" in said
        assert "emails: version 2 encrypts from now on" in agent_site.tool(*words)
        # What was counted is of version 1: 2 is not due.
        assert "version 3" not in agent_site.tool(*words)
        time.sleep(1)
        assert loop.encrypt("berta")[3] == 2
    done = agent_site.run(TOOL, *words)
    assert done.returncode == 0 and "the agent cannot be asked" in done.stderr.decode()


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
    assert "how much keys are used is not known" in agent_site.run(TOOL, "status", "--socket", agent_site.socket).stderr.decode()


def test_doctor_asks_the_agent_and_not_the_kms(agent_site):
    application = agent_site.application()
    done = application.run(TOOL, "doctor")
    assert done.returncode == 1
    assert f"FINDING  emails: the agent cannot be asked: {agent_site.socket}: cannot connect" in done.stdout.decode()
    assert "mend:  systemctl start kms-envelope-agent" in done.stdout.decode()
    agent_site.rotate()
    with agent_site.agent() as agent:
        said = application.tool("doctor")
        assert f"ok       data keys are the agent's, at {agent_site.socket}: no KMS is asked" in said
        assert "ok       emails: the agent lends 2 versions" in said and "0 findings" in said
        assert "unwraps" not in said
        agent_site.allow({"nobody": {"key": "*", "uid": 4000000000}})
        agent.reload()
        said = application.run(TOOL, "doctor").stdout.decode()
        assert "FINDING  emails: the KMS denied access: the agent says: user" in said
        assert "[allow NAME]" in said
        # With a fallback, the way to the KMS is looked at as well.
        application.configure(agent=agent_site.socket, agent_fallback="yes")
        assert "emails: every copy of 2 versions unwraps" in application.run(TOOL, "doctor").stdout.decode()


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
