# SPDX-License-Identifier: Apache-2.0
"""A host with an agent, and applications that know no KMS."""
import copy
import json
import os
import re
import signal
import subprocess
import time

import pytest

from aws_site import AWS_NAMES, STORM, AwsSite
from conftest import TIMEOUT_S, TOOL
from doubles import agent_client

# provider/base/status.h
KEY_NOT_FOUND, KEY_VERSION_UNKNOWN, KEY_VERSION_REVOKED = 41, 42, 49
KMS_UNREACHABLE, KMS_DENIED = 81, 83

START_S = 20
# Whoever runs the tests.
ALLOW_US = {"us": {"key": "*", "uid": os.geteuid()}}


class Agent:
    """kms-envelope agent, from its start to its end."""

    def __init__(self, site, *words, prefix=(), env=None, pass_fds=()):
        self.site = site
        self.log_path = site.folder / "agent.log"
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        command = site.runnable((*prefix, site.agent_program, "agent", "--config", site.agent_conf, *words))
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=site.folder,
                env={**site.environment, **(env or {})},
                pass_fds=pass_fds,
            )

    @property
    def log(self):
        """What this one has printed."""
        with self.log_path.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode()

    def wait_for(self, pattern, since=0):
        """Until its log has that; the match."""
        until = time.monotonic() + START_S
        while True:
            found = re.search(pattern, self.log[since:])
            if found:
                return found
            assert self.process.poll() is None, f"it ended: {self.log}"
            assert time.monotonic() < until, f"no {pattern!r} in: {self.log}"
            time.sleep(0.02)

    def ready(self):
        self.wait_for("agent: listens on")
        return self

    def reload(self):
        """SIGHUP, and what it says of it."""
        since = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        return self.wait_for(r"agent: the (new configuration is|old configuration stays) in force.*", since)[0]

    def stop(self, how=signal.SIGTERM):
        """It must end well: no crash, and no leak where that is looked for."""
        self.process.send_signal(how)
        assert self.process.wait(timeout=TIMEOUT_S) == 0, (self.process.returncode, self.log)
        assert not self.site.socket.exists() or self.site.socket_is_given

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=TIMEOUT_S)

    def __enter__(self):
        return self.ready()

    def __exit__(self, *error):
        if self.process.poll() is None and error[0] is None:
            self.stop()
        elif self.process.poll() is None:
            self.kill()
        self.site.check_secrets(self.log.encode())

    # What it says.

    def audit(self):
        """Its lines of JSON."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def numbers(self):
        """Its metrics: {name or name{labels}: number}."""
        return parse_metrics(agent_client.status(self.site.socket))

    def number(self, name):
        return self.numbers()[f"kms_envelope_agent_{name}"]

    def fetch(self, name="emails", version=1, key_id=None, **used):
        key_id = key_id or self.site.key_id(name)
        return agent_client.fetch(self.site.socket, name, key_id, version, *used.values())


def parse_metrics(text):
    """Strictly, as Prometheus does: each sample after its HELP and TYPE."""
    numbers, announced = {}, {}
    for line in text.splitlines():
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            announced.setdefault(name, {})[word] = rest
            continue
        sample = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (-?[0-9.]+)', line)
        assert sample, line
        assert announced[sample[1]]["TYPE"] in ("counter", "gauge"), line
        assert announced[sample[1]]["TYPE"] == "gauge" or sample[1].endswith("_total"), line
        assert announced[sample[1]]["HELP"]
        assert sample[1] + (sample[2] or "") not in numbers, f"twice: {line}"
        numbers[sample[1] + (sample[2] or "")] = float(sample[3])
    return numbers


class AgentSite(AwsSite):
    """The agent's and the administrator's: with credentials, if there are any."""

    socket_is_given = False
    agent_program = TOOL

    def __init__(self, folder, kms=None):
        super().__init__(folder, kms)
        self.agent_conf = folder / "agent.cnf"
        self.socket = folder / "agent.sock"
        self.allow()

    def allow(self, rules=None, **settings):
        """The agent's file anew; a setting of None is left out."""
        agent = {"socket": self.socket, "keys": self.keys}
        agent |= {name.replace("_", "-"): value for name, value in settings.items()}
        sections = {"agent": agent}
        sections |= {f"allow {name}": rule for name, rule in (rules or ALLOW_US).items()}
        lines = []
        for name, section in sections.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {value}" for key, value in section.items() if value is not None]
        self.agent_conf.write_text("\n".join(lines) + "\n")
        self.agent_conf.chmod(0o644)

    def agent(self, *words, **options):
        return Agent(self, *words, **options)

    def key_id(self, name="emails"):
        return bytes.fromhex(self.content(name)["id"])

    def application(self, **settings):
        """A site whose programs have the agent, and nothing of a KMS."""
        made = copy.copy(self)
        made.aws = {"HOME": str(self.home), "AWS_EC2_METADATA_DISABLED": "true"}
        assert not any(AWS_NAMES.match(name) for name in made.environment if name != "AWS_EC2_METADATA_DISABLED")
        made.conf = self.folder / "application.cnf"
        made.configure(**{"agent": self.socket, **settings})
        return made


def refusal(call):
    with pytest.raises(agent_client.Refused) as refused:
        call()
    return refused.value


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
