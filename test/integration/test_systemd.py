# SPDX-License-Identifier: Apache-2.0
"""systemd's units, as systemd itself judges them."""
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, TOOL

UNITS = ROOT / "dist" / "systemd"
# systemd-analyze security: 0 is shut, 100 is open. Needed: the network.
EXPOSURE_MAX = {"kms-envelope-agent.service": 16, "kms-envelope-rotate.service": 32}


@pytest.fixture
def units(tmp_path, program):
    """As installed, for the tool of this build."""
    assert TOOL.exists()
    for path in UNITS.glob("kms-envelope-*"):
        (tmp_path / path.name).write_text(path.read_text().replace("@KMSE_BIN_DIR@", str(BUILD)))
    return tmp_path


def analyze(*words):
    done = subprocess.run(
        ["systemd-analyze", *(str(word) for word in words)], capture_output=True, check=False, timeout=60
    )
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def test_systemd_finds_nothing_wrong(units, program):
    program("systemd-analyze")
    code, said = analyze("verify", "--man=no", *sorted(units.iterdir()))
    ours = [line for line in said.splitlines() if "kms-envelope" in line]
    assert code == 0 and not ours, said


def test_a_mistake_would_be_found(units, program):
    program("systemd-analyze")
    service = units / "kms-envelope-agent.service"
    service.write_text(service.read_text().replace("ProtectHome=yes", "ProtectHoem=yes"))
    _, said = analyze("verify", "--man=no", service)
    assert "ProtectHoem" in said


@pytest.mark.parametrize("name", EXPOSURE_MAX)
def test_a_service_may_do_little(units, program, name):
    program("systemd-analyze")
    limit = EXPOSURE_MAX[name]
    code, said = analyze("security", "--offline=yes", f"--threshold={limit}", units / name)
    assert code == 0, said


def test_the_socket_is_where_everybody_looks():
    header = (ROOT / "tools" / "agent" / "config.h").read_text()
    path = re.search(r'#define KMSE_AGENT_SOCKET "(.*)"', header)[1]
    assert f"ListenSequentialPacket={path}\n" in (UNITS / "kms-envelope-agent.socket").read_text()
    assert f"agent = {path}\n" in (ROOT / "openssl.cnf.example").read_text()


def test_the_example_of_the_agents_file_is_what_it_says(tmp_path):
    """Every line that is commented out is the default, or one that may stand there."""
    example = (ROOT / "dist" / "agent.cnf.example").read_text()
    users = {"prometheus": "1", "adm": "1", "www-data": "33", "batch": "1"}
    lines = [line.lstrip("#") if re.match(r"#[a-z[]", line) else line for line in example.splitlines()]
    text = "\n".join(lines)
    for name, number in users.items():
        text = re.sub(rf"^((?:status-)?[ug]id = ){name}$", rf"\g<1>{number}", text, flags=re.MULTILINE)
    text = text.replace("keys = /etc/kms-envelope/keys", f"keys = {tmp_path}/missing")
    conf = tmp_path / "agent.cnf"
    conf.write_text(text)
    conf.chmod(0o600)
    done = subprocess.run([TOOL, "agent", "--config", conf], capture_output=True, check=False, timeout=60)
    # All of it was taken, up to the folder, which is looked at last.
    assert (done.returncode, done.stderr.decode().count("\n")) == (1, 1)
    assert f"the folder of key files cannot be read: {tmp_path}/missing" in done.stderr.decode()
