# SPDX-License-Identifier: Apache-2.0
"""The doctor finds what is wrong, and says how to mend it."""
import json
import re
import shutil

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
    assert f"ok       local:{site.master_key}: 1 backing key, the newest of 20" in out


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


def test_a_value_that_openssl_takes_for_a_section(site):
    site.configure(aws_profile="default")
    out = findings(site)
    assert "aws-profile = default: OpenSSL takes 'default' for a section" in out and "leave it out" in out


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


# Master keys of AWS KMS: how they are reached, and what KMS says.


def lines(out, start):
    return [line for line in out.splitlines() if line.startswith(start)]


@pytest.fixture
def aws(aws_site):
    """A site with a key of two versions in AWS; its key there is aws.key."""
    aws_site.key = aws_site.kms.store.create("eu-west-1")
    aws_site.create_at(aws_site.key.arn)
    aws_site.rotate()
    return aws_site


def test_how_a_master_key_is_reached_is_told_once(aws):
    aws.create_at(aws.key.arn, name="orders")
    out = findings(aws, code=0)
    (line,) = lines(out, f"ok       aws-kms:{aws.key.arn}: ")
    assert f"{aws.kms.url}, Region eu-west-1, credentials from " in line
    assert "environment" in line
    assert out.count(aws.key.arn) == 1
    for name in ("emails", "orders"):
        assert f"{name}: every copy of" in out


def test_each_master_key_of_two_is_told(aws):
    other = aws.kms.store.create("eu-central-1")
    aws.create_at(aws.key.arn, other.arn, name="orders", options=["--master-key", f"local:{aws.master_key}"])
    out = findings(aws, code=0)
    assert len(lines(out, "ok       aws-kms:")) == 2
    assert "Region eu-central-1" in out
    assert len(lines(out, "ok       local:")) == 1


@pytest.mark.parametrize(
    ("state", "said", "mend"),
    [
        ("Disabled", "the master key is disabled: KeyState Disabled", "enable-key"),
        ("PendingDeletion", "about to be deleted: KeyState PendingDeletion", "cancel-key-deletion"),
        ("Unavailable", "state does not allow it: KeyState Unavailable", "connect its key store"),
    ],
)
def test_a_state_that_says_no_is_one_finding(aws, state, said, mend):
    aws.key.state = state
    out = findings(aws)
    (found,) = lines(out, "FINDING")
    assert f"aws-kms:{aws.key.arn}: " in found and said in found
    assert mend in out
    assert "emails: 2 copies were not tried" in out
    assert "every copy" not in out


def test_a_state_between_two_regions_is_none(aws):
    aws.key.state = "Updating"
    assert "every copy of 2 versions" in findings(aws, code=0)


def test_who_may_not_describe_keys_is_told_so_and_no_more(aws):
    aws.kms.accounts.deny("*", "DescribeKey")
    out = findings(aws, code=0)
    assert "note     its state is not known: " in out and "kms:DescribeKey" in out
    assert "every copy of 2 versions" in out


def test_who_may_not_decrypt_needs_a_policy(aws):
    aws.kms.accounts.deny("*", "Decrypt")
    out = findings(aws)
    assert len(lines(out, "FINDING")) == 2, "a version each"
    assert "emails version 2, copy 1 of 1: the KMS denied access" in out
    assert "in the key's policy and in IAM" in out


def test_no_credentials_is_one_finding(aws):
    aws.forget()
    out = findings(aws)
    (found,) = lines(out, "FINDING")
    assert "no credentials for the KMS" in found
    assert "give credentials as for the aws command" in out
    assert "emails: 2 copies were not tried" in out


def test_credentials_that_kms_does_not_know(aws):
    aws.aws["AWS_SECRET_ACCESS_KEY"] = "another+secret/0123456789ABCDEFGHIJKLMNO"
    aws.secrets.add("another+secret/0123456789ABCDEFGHIJKLMNO")
    out = findings(aws)
    assert "no credentials for the KMS" in out and "environment" in out


def test_a_kms_that_is_not_there_is_one_finding(aws):
    aws.kms.stop()
    out = findings(aws)
    (found,) = lines(out, "FINDING")
    assert "master key: the KMS is unreachable: " in found
    assert "AWS_ENDPOINT_URL_KMS" in out and "aws-proxy" in out
    assert "emails: 2 copies were not tried" in out


@pytest.mark.parametrize(
    ("fault", "said", "mend"),
    [
        ("hang", "the KMS did not answer in time", "raise kms-timeout"),
        ("throttling", "the KMS is throttling", "raise max-age"),
        ("malformed_json", "the KMS gave a bad answer", "see that the endpoint is AWS KMS"),
    ],
)
def test_a_kms_in_trouble(aws, fault, said, mend):
    aws.configure(kms_timeout="1s")
    aws.kms.faults.set({"fault": fault})
    out = findings(aws)
    (found,) = lines(out, "FINDING")
    assert said in found and mend in out


def test_a_master_key_that_aws_does_not_know(aws):
    del aws.kms.store.keys["eu-west-1", aws.key.key_id]
    out = findings(aws)
    (found,) = lines(out, "FINDING")
    assert "the master key is not found" in found and "deleted is gone for ever" in out
    assert "restore the master key from a backup" not in out


def test_a_copy_under_a_key_that_did_not_make_it(aws):
    other = aws.kms.store.create("eu-west-1")
    path = aws.key_file()
    path.write_text(path.read_text().replace(aws.key.arn, other.arn))
    out = findings(aws)
    assert "another master key made this wrapped key" in out
    assert "was made by another key of AWS KMS" in out


def test_the_http_module_is_missing(aws):
    lonely = aws.folder / "bin" / "kms-envelope"
    lonely.parent.mkdir()
    shutil.copy(TOOL, lonely)
    done = aws.run(lonely, "doctor")
    out = done.stdout.decode()
    assert done.returncode == 1
    assert "the HTTP module cannot be used" in out
    assert "install kms-envelope-http.so beside kms-envelope.so" in out


def test_the_http_module_is_not_needed_for_a_local_master_key(site):
    lonely = site.folder / "bin" / "kms-envelope"
    lonely.parent.mkdir()
    shutil.copy(TOOL, lonely)
    assert b"0 findings" in site.ok(lonely, "doctor")


def test_plain_http_that_is_allowed_is_noted(site):
    site.configure(aws_allow_http="yes")
    assert "aws-allow-http = yes: data keys may go through a network" in findings(site, code=0)
    site.configure(aws_allow_http="no")
    assert "aws-allow-http" not in findings(site, code=0)


def test_a_bad_setting_of_aws_is_found_where_the_keys_would_be_checked_with_it(site):
    site.configure(activate=None, aws_region="EU")
    out = findings(site)
    assert "aws-region = EU: must be an AWS Region" in out and "correct that setting" in out
