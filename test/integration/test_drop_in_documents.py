# SPDX-License-Identifier: Apache-2.0
"""What docs/drop-in.md tells a reader to type is typed; its SQL: test_drop_in_databases."""
import os
import re
import subprocess

import pytest

from aws_site import sanitizers
from conftest import BUILD, ROOT, TIMEOUT_S, TOOL
from drop_in_site import CONFIGURATION, PROPERTY, derive, make_handle

TEXT = (ROOT / "docs" / "drop-in.md").read_text()
FORMAT = (ROOT / "docs" / "format.md").read_text()
EXAMPLE = (ROOT / "openssl.cnf.example").read_text()
MAN_PAGE = (ROOT / "docs" / "man" / "OSSL_PROVIDER-kms-envelope.7").read_text()
MARK = "<!-- test -->"
SEPARATOR = "== end of block =="

not_instrumented = pytest.mark.skipif(bool(sanitizers()), reason="the programs that load us are not instrumented")


def fenced(language):
    """The blocks of a language, each with the line before it."""
    return re.findall(rf"^([^\n]*)\n```{language}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def session(tmp_path):
    """Run shell blocks one after another, as one types them; the output of each."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENSSL_")}
    environment |= {"PATH": f"{BUILD}:{os.environ['PATH']}", "OPENSSL_MODULES": str(BUILD), "LC_ALL": "C.UTF-8"}

    def run(*blocks, code=0, **more):
        script = "\n".join(line for block in blocks for line in (block, f"echo '{SEPARATOR}'"))
        done = subprocess.run(
            ["sh", "-eu", "-c", script], capture_output=True, check=False, cwd=tmp_path,
            env={**environment, **more}, text=True, timeout=TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout.split(SEPARATOR + "\n")

    return run


def test_every_shell_block_is_marked_as_tested():
    assert [block for before, block in fenced("sh") if before != MARK] == []
    fences = re.findall(r"^```(.*)$", TEXT, flags=re.MULTILINE)
    assert set(fences[1::2]) == {""} and set(fences[::2]) == {"sh", "sql", "ini"}
    assert TEXT.count(MARK) == fences.count("sh")


@not_instrumented
def test_the_session(session, tmp_path):
    outputs = session(*(block for _, block in fenced("sh")))
    shown = re.findall(r"^    (ok  .*)$", TEXT, flags=re.MULTILINE)
    assert outputs[1].splitlines()[: len(shown)] == shown and outputs[1].count("ok ") == 8
    assert outputs[2] == "anna@example.org\n"
    for name in ("handle", "handle.2", "keys.txt"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "handle").read_text() != (tmp_path / "handle.2").read_text()


@not_instrumented
def test_the_proof_fails_where_the_drop_in_is_not_in_force(session):
    setup, handle, encrypt, proof, *_ = (block for _, block in fenced("sh"))
    handle = handle.split("kms-envelope check")[0]
    session(setup, handle, "export OPENSSL_CONF=/dev/null", encrypt, proof, code=1)


@not_instrumented
def test_the_step_of_systemd(session, program):
    """As systemd runs it; the service's file is one that systemd takes."""
    ((_, unit),) = fenced("ini")
    environment, command = re.search(r"^Environment=(\S+)=\S+\nExecStartPre=(.*)$", unit, flags=re.MULTILINE).groups()
    assert environment == "OPENSSL_CONF"
    command = command.replace("/usr/bin/kms-envelope", str(TOOL)).replace("/etc/kms-envelope/handle", "handle")
    setup, handle, *_ = (block for _, block in fenced("sh"))
    session(setup, handle, command)
    session("cd .; unset OPENSSL_CONF || :", command, code=1)


def test_systemd_takes_the_file(tmp_path, program):
    ((_, unit),) = fenced("ini")
    service = tmp_path / "shop.service"
    service.write_text(unit.replace("/usr/bin/kms-envelope", str(TOOL)) + "ExecStart=/bin/true\n")
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", service], capture_output=True, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == 0 and b"shop.service" not in done.stderr, done.stderr.decode()


def lines_for_the_drop_in():
    return [line for line in CONFIGURATION.format(property=f"default_properties = {PROPERTY}").splitlines() if "=" in line]


def test_the_manual_the_page_and_the_example_say_the_same():
    wanted = [line for line in lines_for_the_drop_in() if re.match(r"alg_section|random|default_prop|cipher|properties", line)]
    assert len(wanted) == 6
    for text in (TEXT, MAN_PAGE, EXAMPLE.replace("\n#", "\n")):
        for line in wanted:
            assert f"\n{line}\n" in text, line


def test_the_example_with_its_lines_switched_on(session, tmp_path):
    text = EXAMPLE.replace("keys = /etc/kms-envelope/keys\n", f"keys = {tmp_path}/keys\n").replace("drop-in = no", "drop-in = yes")
    for line in (*lines_for_the_drop_in(), "[algorithms]", "[random]"):
        text = text.replace(f"\n#{line}\n", f"\n{line}\n")
    (tmp_path / "example.cnf").write_text(text)
    setup, handle, *_ = (block for _, block in fenced("sh"))
    session(setup, "export OPENSSL_CONF=$PWD/example.cnf", handle)


def test_the_vectors_of_the_format():
    data_key, key_id = bytes(range(1, 33)), bytes(range(0xA0, 0xB0))
    rows = re.findall(r"^\| (\d+) \| `(kmsh\S{28})` \| `([0-9a-f]{64})` \|$", FORMAT, flags=re.MULTILINE)
    assert len(rows) == 3
    for version, handle, aes_key in rows:
        assert make_handle(data_key, key_id, int(version)) == handle
        assert derive(data_key, key_id, int(version), handle).hex() == aes_key
        assert handle in (ROOT / "test" / "unit" / "test_handle.c").read_text()
