# SPDX-License-Identifier: Apache-2.0
"""docs/programs.md tells of programs that were tried: that they are, and how."""
import os
import re
import subprocess

import pytest

import programs_document
from conftest import BUILD, DEBIAN, ROOT, TIMEOUT_S
from test_documents import fenced, session

STORIES = ROOT / "test" / "integration"


def test_each_row_has_its_test():
    rows = programs_document.rows()
    assert len(rows) > 24
    for name, *_, last in rows:
        told = re.fullmatch(r"`(test_\w+\.py)`: `(test_\w+)`", last)
        assert told, f"{name}: {last}"
        file, function = told.groups()
        text = (STORIES / file).read_text()
        assert re.search(rf"^def {function}\(", text, flags=re.MULTILINE), f"{name}: no {function} in {file}"


def test_each_table_is_whole():
    """No cell is empty, and no cell has been torn apart by a bar."""
    widths = [len(row) for row in programs_document.rows()]
    assert set(widths) == {4, 5, 7}
    assert all(cell for row in programs_document.rows() for cell in row)


def test_each_block_is_run_or_saved():
    kinds = [(language, bool(file)) for language, file, _ in programs_document.blocks()]
    saved = {language for language, file in kinds if file}
    assert {language for language, file in kinds if not file} == {"sh", "ini"}
    assert saved == {"perl", "python", "lua", "erlang"}
    # Each file that is saved is run, here and in test_languages.py.
    scripts = "".join(text for language, _, text in programs_document.blocks() if language == "sh")
    files = [file for _, file, _ in programs_document.blocks() if file]
    assert [file for file in files if file not in scripts] == []


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the document's shell blocks print, after README's first."""
    folder = tmp_path_factory.mktemp("programs")
    programs_document.save(folder)
    blocks = [text for language, _, text in programs_document.blocks() if language == "sh"]
    return session(folder, [fenced("sh")[0][1], *blocks])[1:]


@DEBIAN
def test_each_block_prints_what_was_encrypted(printed):
    assert len(printed) == 5
    assert set(printed) == {"anna\n"}


@DEBIAN
def test_perl_s_pipe_to_openssl_dies_of_a_changed_row(site, program):
    """Its exit code is all that tells."""
    (block,) = (text for _, _, text in programs_document.blocks() if "close $to or die" in text)
    code = block.replace("customer-emails", "emails")
    assert site.ok("sh", "-c", code) == b"anna\n"
    # Between the two halves somebody changes the row.
    change = "  system q(printf x | dd of=row.kmse bs=1 seek=20 conv=notrunc status=none);\n"
    error = site.fails("sh", "-c", code.replace("  open my $from", f"{change}  open my $from"))
    assert "it was changed, or is of another key" in error


@DEBIAN
def test_the_costs_can_be_measured_again():
    """That it runs, not how fast."""
    command = ("/usr/bin/python3", ROOT / "bench" / "programs.py", "1", "20")
    environment = {**os.environ, "KMSE_BUILD": str(BUILD)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment)
    measured = re.findall(r"^([a-z -]*[a-z]) +\d+\.\d\d", done.stdout, flags=re.MULTILINE)
    absent = re.findall(r"^(node-\w+) +is not here$", done.stdout, flags=re.MULTILINE)
    costs = [row[5] for row in programs_document.rows() if len(row) == 7]
    assert len(measured) + len(absent) == len([cost for cost in costs if re.match(r"\d\.\d", cost)])


def test_what_it_points_to_is_there():
    anchors = {heading.lower() for heading in re.findall(r"^## ([\w-]+)$", programs_document.TEXT, flags=re.MULTILINE)}
    for link in re.findall(r"\]\(([^)]+)\)", programs_document.TEXT):
        if link.startswith("#"):
            assert link[1:] in anchors
        else:
            assert (ROOT / "docs" / link).is_file(), link
