# SPDX-License-Identifier: Apache-2.0
"""docs/programs.md: its tables, and the programs in it that a reader saves."""
import re

from conftest import ROOT

TEXT = (ROOT / "docs" / "programs.md").read_text()


def blocks():
    """(language, name of its file or "", text) of each fenced block."""
    prose, *fenced = re.split(r"^```", TEXT, flags=re.MULTILINE)
    assert len(fenced) % 2 == 0, "a block that does not end"
    for text, after in zip(fenced[::2], fenced[1::2]):
        name = re.search(r"`(\w+\.\w+)`:\n\n$", prose)
        language, _, text = text.partition("\n")
        yield language, name.group(1) if name else "", text
        prose = after


def save(folder, name=None):
    """The files that a reader saves, or the one."""
    for _, file, text in blocks():
        if file and name in (None, file):
            (folder / file).write_text(text)


def service_environment(configuration):
    """What the unit's drop-in gives a service, with that configuration."""
    (unit,) = (text for language, _, text in blocks() if language == "ini")
    settings = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, flags=re.MULTILINE))
    assert settings == {"OPENSSL_CONF": "/etc/kms-envelope/openssl.cnf"}
    return {name: str(configuration) for name in settings}


def rows():
    """Each row of each table: its cells."""
    lines = [line for line in TEXT.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "program" and not set(row[0]) <= set("- ")]
