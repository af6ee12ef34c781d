# SPDX-License-Identifier: Apache-2.0
"""The doctor finds what is wrong, and says how to mend it."""
import json
import re

import pytest

from conftest import CONFIGURATION, MODULE, TOOL


def findings(site, code=1):
    done = site.run(TOOL, "doctor")
    out = done.stdout.decode()
    assert done.returncode == code, out + done.stderr.decode()
    found = re.findall(r"^FINDING +(.*)$", out, flags=re.MULTILINE)
    assert out.count("  mend:") >= len(found), "each finding has its mend"
    assert f"{len(found)} finding" in out
    return out


def test_a_healthy_host_has_no_findings(site):
    site.rotate()
    out = findings(site, code=0)
    assert "FINDING" not in out
    for words in ("OpenSSL 3.", "the clock says", "default' is active", "mode 700", "2 versions"):
        assert words in out


def test_no_configuration_file(site):
    site.conf.unlink()
    out = findings(site)
    assert str(site.conf) in out


def test_a_syntax_error_is_shown_with_its_line(site):
    site.conf.write_text("a = b\n[unclosed\n")
    out = findings(site)
    assert str(site.conf) in out and "line 2" in out


def test_no_default_provider(site):
    text = site.conf.read_text().replace("[default_section]\nactivate = 1\n", "[default_section]\n")
    site.conf.write_text(text)
    out = findings(site)
    assert "no active 'default' provider" in out and "activate = 1" in out


def test_our_provider_is_not_in_it(site):
    site.conf.write_text(CONFIGURATION.replace("kms-envelope = kms_envelope_section\n", ""))
    out = findings(site)
    assert "the provider 'kms-envelope' is not in it" in out and "openssl.cnf.example" in out


def test_it_is_not_activated(site):
    site.configure(activate=None)
    assert "add activate = 1" in findings(site)


def test_the_module_is_not_there(site):
    site.configure(module="/nowhere/kms-envelope.so")
    out = findings(site)
    assert "/nowhere/kms-envelope.so" in out and "set module =" in out


def test_the_module_is_something_else(site, program):
    other = site.folder / "kms-envelope.so"
    source = site.folder / "other.c"
    source.write_text("int nothing;\n")
    site.ok(program("gcc"), "-shared", "-fPIC", "-o", other, source)
    site.configure(module=other)
    assert "is not an OpenSSL provider" in findings(site)


def test_an_unknown_key_of_the_configuration(site):
    site.configure(max_agee="5m")
    out = findings(site)
    assert "unknown key 'max-agee'" in out and "openssl.cnf.example" in out


@pytest.mark.parametrize(("key", "value"), [("max_age", "0"), ("legacy_names", "maybe"), ("default_key", "A B")])
def test_a_bad_value_is_shown_with_what_it_must_be(site, key, value):
    site.configure(**{key: value})
    out = findings(site)
    assert f"{key.replace('_', '-')} = {value}: must be" in out


def test_no_folder_is_configured(site):
    site.configure(keys=None)
    assert "'keys' is missing" in findings(site)


def test_the_folder_is_not_there(site):
    site.configure(keys="/nowhere/keys")
    assert "/nowhere/keys" in findings(site)


def test_the_folder_is_open_to_others(site):
    site.keys.chmod(0o777)
    out = findings(site)
    assert str(site.keys) in out and "chmod" in out


def test_the_default_key_does_not_exist(site):
    site.configure(default_key="nobody")
    out = findings(site)
    assert "nobody" in out and "kms-envelope create" in out


def test_a_key_file_is_open_to_others(site):
    site.key_file().chmod(0o666)
    out = findings(site)
    assert str(site.key_file()) in out and "chmod 600" in out


def test_a_key_file_was_changed(site):
    content = json.loads(site.key_file().read_text())
    content["policy"] = {"max-messages": 1}
    site.key_file().write_text(json.dumps(content))
    out = findings(site)
    assert "MAC" in out and "backup" in out


def test_a_key_file_is_damaged(site):
    site.key_file().write_text("{")
    out = findings(site)
    assert str(site.key_file()) in out and "restore the key file from a backup" in out


def test_a_master_key_is_gone(site):
    site.rotate()
    site.master_key.unlink()
    out = findings(site)
    assert "version 1" in out and "version 2" in out
    assert f"local:{site.master_key}" in out and "restore the master key from a backup" in out


def test_a_second_copy_that_does_not_open_is_found(empty_site):
    site = empty_site
    other = site.folder / "other"
    site.create("emails", "--master-key", f"local:{other}")
    other.unlink()
    out = findings(site)
    assert str(other) in out
    assert site.decrypt(site.encrypt(b"anna")) == b"anna", "though it works for now"


def test_the_module_is_found_where_openssl_looks(site, monkeypatch):
    monkeypatch.setenv("OPENSSL_MODULES", str(MODULE.parent))
    site.configure(module=None)
    findings(site, code=0)
