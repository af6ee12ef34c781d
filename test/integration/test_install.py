# SPDX-License-Identifier: Apache-2.0
"""What cmake --install puts where, and that it works without the build."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, CONFIGURATION, MODULE, ROOT

HEADERS = sorted(path.name for path in (ROOT / "include" / "kms_envelope").glob("*.h"))
MAN_PAGES = sorted(path.name for path in (ROOT / "docs" / "man").iterdir())
DOCUMENTS = [
    "openssl.cnf.example", "agent.cnf.example", "README.md", "SECURITY.md", "CHANGELOG.md", "LICENSE",
    *sorted(path.name for path in (ROOT / "docs").glob("*.md")),
]
UNITS = sorted(path.name for path in (ROOT / "dist" / "systemd").glob("kms-envelope-*"))
MODULES = ["kms-envelope-http.so", "kms-envelope.so"]
LIBRARIES = {"libcrypto", "libcjson", "libc", "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64"}


def output(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def modules_folder():
    """MODULESDIR, relative to the root of a staged installation."""
    text = output("openssl", "version", "-m")
    return re.fullmatch(r'MODULESDIR: "/(.*)"\n', text).group(1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """The root folder of an installation with the prefix /usr."""
    folder = tmp_path_factory.mktemp("stage")
    output("cmake", "--install", BUILD, "--prefix", "/usr", env={**os.environ, "DESTDIR": str(folder)})
    return folder


@pytest.fixture
def installed(stage, tmp_path, monkeypatch):
    """Run a command as a user of the installation does: no module line."""
    conf = tmp_path / "openssl.cnf"
    settings = f"activate = 1\nkeys = {tmp_path}/keys\ndefault-key = emails\n"
    conf.write_text(CONFIGURATION + settings)
    monkeypatch.setenv("OPENSSL_CONF", str(conf))
    monkeypatch.setenv("OPENSSL_MODULES", str(stage / modules_folder()))
    monkeypatch.setenv("PATH", f"{stage}/usr/bin:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    output("kms-envelope", "create", "emails", "--keys", "keys", "--master-key", "local:master-key")
    return output


def test_the_modules_are_where_openssl_looks(stage):
    assert sorted(path.name for path in (stage / modules_folder()).iterdir()) == MODULES


def test_the_tool_and_the_headers_are_installed(stage):
    assert os.access(stage / "usr/bin/kms-envelope", os.X_OK)
    assert HEADERS == ["format.h", "params.h"]
    for name in HEADERS:
        staged = stage / "usr/include/kms_envelope" / name
        assert staged.read_bytes() == (ROOT / "include/kms_envelope" / name).read_bytes()


def test_the_manual_pages_are_installed(stage):
    assert len(MAN_PAGES) == 6
    for name in MAN_PAGES:
        section = pathlib.Path(name).suffix[1:]
        assert (stage / f"usr/share/man/man{section}" / name).is_file()


def test_the_documents_are_installed(stage):
    folder = stage / "usr/share/doc/kms-envelope"
    assert sorted(path.name for path in folder.iterdir()) == sorted(DOCUMENTS)
    for path in folder.iterdir():
        assert path.stat().st_size > 0


def test_the_units_are_installed_for_where_the_tool_is(stage):
    assert len(UNITS) == 4
    for name in UNITS:
        text = (stage / "usr/lib/systemd/system" / name).read_text()
        assert "@KMSE" not in text
        commands = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)
        assert commands == (["/usr/bin/kms-envelope"] if name.endswith(".service") else [])
    assert (stage / "usr/lib/sysusers.d/kms-envelope.conf").is_file()


def test_nothing_else_is_installed(stage):
    files = [path for path in stage.rglob("*") if path.is_file()]
    # The tool, and the file of the agent's user.
    others = 2
    lists = (MODULES, HEADERS, MAN_PAGES, DOCUMENTS, UNITS)
    assert len(files) == sum(len(names) for names in lists) + others, files


def test_everybody_can_read_it_and_only_its_owner_can_write_it(stage):
    for path in stage.rglob("*"):
        mode = path.stat().st_mode
        assert mode & 0o444 == 0o444 and mode & 0o022 == 0, path


def test_the_installed_module_and_tool_work(installed):
    message = installed("openssl", "enc", "-kms-envelope", "-K", "0", "-a", input=b"anna")
    assert installed("openssl", "enc", "-d", "-kms-envelope", "-K", "0", "-a", input=message.encode()) == "anna"
    assert "0 findings" in installed("kms-envelope", "doctor")


def test_the_installed_module_needs_no_build_tree(installed, stage, program):
    code = 'openssl_encrypt("anna", "kms-envelope", "emails"); readfile("/proc/self/maps");'
    maps = installed(program("php"), "-r", code)
    assert str(stage / modules_folder() / "kms-envelope.so") in maps
    assert str(BUILD) not in maps
    for binary in (stage / modules_folder() / "kms-envelope.so", stage / "usr/bin/kms-envelope"):
        assert "PATH)" not in output("readelf", "-d", binary), "RPATH or RUNPATH"
        assert str(BUILD).encode() not in binary.read_bytes()


def test_the_installed_example_loads(installed, stage, tmp_path, monkeypatch):
    text = (stage / "usr/share/doc/kms-envelope/openssl.cnf.example").read_text()
    example = tmp_path / "example.cnf"
    example.write_text(text.replace("= /etc/kms-envelope/keys", f"= {tmp_path}/keys"))
    monkeypatch.setenv("OPENSSL_CONF", str(example))
    assert "KMS-ENVELOPE @ kms-envelope" in installed("openssl", "list", "-cipher-algorithms")


def test_the_module_exports_its_entry_point_alone():
    lines = output("nm", "-D", "--defined-only", MODULE).splitlines()
    assert [line.split()[-1] for line in lines] == ["OSSL_provider_init"]


def test_the_module_needs_no_tls_and_no_http():
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\.so", output("readelf", "-d", MODULE))
    assert {"libcrypto", "libcjson", "libc"} <= set(needed) <= LIBRARIES


def test_the_http_module_brings_libcurl_and_exports_its_table():
    module = BUILD / "kms-envelope-http.so"
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\.so", output("readelf", "-d", module))
    assert any(name.startswith("libcurl") for name in needed)
    assert re.search(r"\(FLAGS_1\).*\bNODELETE\b", output("readelf", "-d", module))
    lines = output("nm", "-D", "--defined-only", module).splitlines()
    assert [line.split()[-1] for line in lines] == ["kmse_http_module"]


def test_the_module_is_never_unmapped_and_is_hardened():
    dynamic = output("readelf", "-d", MODULE)
    assert re.search(r"\(FLAGS_1\).*\bNODELETE\b", dynamic)
    assert re.search(r"\(FLAGS_1\).*\bNOW\b", dynamic)
    assert "TEXTREL" not in dynamic
    assert "GNU_RELRO" in output("readelf", "-lW", MODULE)
    stack = re.search(r"GNU_STACK.*", output("readelf", "-lW", MODULE)).group()
    assert "RWE" not in stack


LANGUAGES = [("gcc", "c", "c11")]
if shutil.which("g++") is not None:
    LANGUAGES += [("g++", "c++", "c++11"), ("g++", "c++", "c++20")]


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(("compiler", "language", "standard"), LANGUAGES)
def test_an_installed_header_compiles_alone(stage, compiler, language, standard, name):
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-x", language]
    # Twice: the guard. C wants at least one declaration.
    source = f"#include <kms_envelope/{name}>\n" * 2 + "int declaration;\n"
    output(compiler, *flags, "-I", stage / "usr/include", "-", input=source.encode())
