# SPDX-License-Identifier: Apache-2.0
"""Where AWS credentials come from: each source for real, from servers on
loopback, in the order of docs/kms-aws.md. What a program prints is searched for
every secret that was handed out."""
import dataclasses
import json
import stat
import time

import pytest

from aws_site import AwsSite
from aws_sources import Files, container, files, identity, instance, keys_of, site, user  # noqa: F401
from doubles.sigv4 import Credentials

NONE = "no credentials for the KMS"


def works(site):
    return site.decrypt(site.message) == b"anna"


def refused(site):
    """Why nothing works: the same from a program and from doctor."""
    error = site.decrypt_fails(site.message)
    assert NONE in error, error
    assert NONE in site.doctor_fails()
    return error


def used(kms, access_key_id):
    return kms.counts[f"by.{access_key_id}"]


# Static ones.


def test_none_anywhere_says_where_they_were_looked_for(site, kms):
    error = refused(site)
    for place in ("AWS_ACCESS_KEY_ID", "profile default", "web identity", "container", "instance metadata"):
        assert place in error, error
    assert "kms-envelope doctor shows where they come from" in error
    assert not [name for name in kms.counts if name.startswith("by.")], "it asked without"


def test_the_environment(site, kms, user):
    site.use(user("AKIAENVIRONMENT00001"))
    assert works(site) and used(kms, "AKIAENVIRONMENT00001") == 1
    assert site.source() == "environment AWS_ACCESS_KEY_ID"


def test_the_environment_with_a_session_token(site, kms, issuer):
    session = issuer.issue(issuer.role_arn)
    site.use(session)
    assert works(site) and used(kms, session.access_key_id) == 1
    del site.aws["AWS_SESSION_TOKEN"]
    assert "UnrecognizedClientException" in site.decrypt_fails(site.message)


@pytest.mark.parametrize("left", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_of_a_pair_is_an_error(site, files, user, left):
    files.credentials(default=keys_of(user("AKIAFILE000000000001")))
    site.use(user("AKIAENVIRONMENT00001"))
    missing = ({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} - {left}).pop()
    del site.aws[missing]
    assert f"{missing} is missing" in refused(site)


def test_the_credentials_file(site, kms, files, user):
    files.credentials(default=keys_of(user("AKIAFILE000000000001")))
    assert works(site) and used(kms, "AKIAFILE000000000001") == 1
    assert site.source() == f"profile default of {files.folder / 'credentials'}"


def test_the_config_file(site, kms, files, user):
    files.config({"default": keys_of(user("AKIACONFIG0000000001"))})
    assert works(site) and used(kms, "AKIACONFIG0000000001") == 1
    assert site.source() == f"profile default of {files.folder / 'config'}"


def test_a_profile_of_the_environment(site, kms, files, user):
    files.credentials(default=keys_of(user("AKIAFILE000000000001")), billing=keys_of(user("AKIABILLING000000001")))
    site.aws["AWS_PROFILE"] = "billing"
    assert works(site) and used(kms, "AKIABILLING000000001") == 1
    assert site.source().startswith("profile billing of ")
    site.aws["AWS_PROFILE"] = "none-such"
    assert "none-such" in refused(site)


def test_a_profile_of_openssl_cnf_goes_before_the_environment(site, kms, files, user):
    files.credentials(billing=keys_of(user("AKIABILLING000000001")))
    site.use(user("AKIAENVIRONMENT00001"))
    site.configure(aws_profile="billing")
    assert works(site) and used(kms, "AKIABILLING000000001") == 1
    assert site.source().startswith("profile billing of ")


def test_files_of_openssl_cnf(site, kms, user):
    elsewhere = site.folder / "service-credentials"
    pairs = keys_of(user("AKIASERVICE000000001"))
    elsewhere.write_text("[default]\n" + "".join(f"{key}={value}\n" for key, value in pairs.items()))
    site.configure(aws_shared_credentials_file=elsewhere)
    assert works(site) and used(kms, "AKIASERVICE000000001") == 1
    assert site.source() == f"profile default of {elsewhere}"


def test_a_file_that_cannot_be_parsed_is_named(site, files):
    (files.folder / "credentials").write_text("aws_access_key_id = x\n")
    for error in (site.decrypt_fails(site.message), site.doctor_fails()):
        assert f"{files.folder / 'credentials'} line 1: a key before the first [section]" in error


# A program of the user's.


def program(site, text, name="print-credentials"):
    script = site.folder / name
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(stat.S_IRWXU)
    return script


def printed(credentials, **more):
    members = {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        **({"SessionToken": credentials.session_token} if credentials.session_token else {}),
        **more,
    }
    return f"cat <<'EOF'\n{json.dumps(members)}\nEOF"


def test_a_program_is_run_only_with_leave(site, kms, files, user):
    ran = site.folder / "ran"
    script = program(site, f"touch {ran}\n" + printed(user("AKIAPROCESS000000001")))
    files.config({"default": {"credential_process": script}})
    error = refused(site)
    assert "credential_process of profile default" in error and "aws-credential-process = yes" in error
    assert not ran.exists()
    site.configure(aws_credential_process="yes")
    assert works(site) and used(kms, "AKIAPROCESS000000001") == 1
    assert ran.exists()
    assert site.source() == "credential_process of profile default"


def test_a_program_gets_its_words_and_no_shell(site, files, user):
    marked = site.folder / "marked"
    script = program(site, f'printf "%s\\n" "$#" "$1" "$2" >{marked}\n' + printed(user("AKIAPROCESS000000001")))
    files.config({"default": {"credential_process": f'{script} "two words" $HOME;x'}})
    site.configure(aws_credential_process="yes")
    assert works(site)
    assert marked.read_text().splitlines() == ["2", "two words", "$HOME;x"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("echo not-json", '"Version": 1'),
        ('echo \'{"Version": 2}\'', '"Version": 1'),
        ('echo \'{"Version": 1}\'', "AccessKeyId"),
        ("echo a-secret-on-stderr >&2; exit 3", "3"),
        ("kill -9 $$", "9"),
    ],
)
def test_a_program_that_fails_is_named(site, files, text, words):
    files.config({"default": {"credential_process": program(site, text)}})
    site.configure(aws_credential_process="yes")
    error = refused(site)
    assert "credential_process" in error and words in error


def test_a_program_that_hangs_is_ended(site, files):
    files.config({"default": {"credential_process": program(site, "exec sleep 60")}})
    site.configure(aws_credential_process="yes", kms_timeout="500ms")
    start = time.monotonic()
    site.decrypt_fails(site.message)
    assert time.monotonic() - start < 5


def test_a_program_s_session_that_expired_is_refused(site, files, issuer):
    session = issuer.issue(issuer.role_arn)
    script = program(site, printed(session, Expiration="2020-01-01T00:00:00Z"))
    files.config({"default": {"credential_process": script}})
    site.configure(aws_credential_process="yes")
    assert "expired at 2020-01-01T00:00:00Z" in refused(site)


# Roles.


def test_a_role_is_assumed_with_another_profile_s_keys(site, kms, files, issuer, user):
    files.credentials(base=keys_of(user("AKIABASE000000000001")))
    files.config(
        {
            "default": {
                "role_arn": issuer.role_arn,
                "source_profile": "base",
                "external_id": "external=1&2",
                "role_session_name": "a.session@test",
                "duration_seconds": 1800,
            }
        }
    )
    issuer.external_id = "external=1&2"
    assert works(site)
    assert used(kms, "AKIABASE000000000001") == 0, "the role's are used"
    assert issuer.counts["sts AssumeRole"] == 1
    (asked,) = issuer.assumed
    assert asked["RoleSessionName"] == "a.session@test"
    assert asked["DurationSeconds"] == "1800"
    source = site.source()
    assert source.startswith(f"assume-role {issuer.role_arn} via profile base of ")
    issuer.external_id = "another"
    assert "AccessDenied" in refused(site)


def test_roles_may_be_chained_and_not_go_round(site, files, issuer, user):
    files.credentials(base=keys_of(user("AKIABASE000000000001")))
    role = {"role_arn": issuer.role_arn}
    files.config(
        {
            "default": {**role, "source_profile": "middle"},
            "profile middle": {**role, "source_profile": "base"},
        }
    )
    assert works(site) and issuer.counts["sts AssumeRole"] == 2
    files.config(
        {
            "default": {**role, "source_profile": "middle"},
            "profile middle": {**role, "source_profile": "default"},
        }
    )
    assert "comes back to where it was" in refused(site)


def test_a_role_with_the_environment_s_keys(site, files, issuer, user):
    files.config({"profile role": {"role_arn": issuer.role_arn, "credential_source": "Environment"}})
    site.use(user("AKIAENVIRONMENT00001"))
    site.configure(aws_profile="role")
    assert works(site) and issuer.counts["sts AssumeRole"] == 1
    assert site.source() == f"assume-role {issuer.role_arn} via environment AWS_ACCESS_KEY_ID"


@pytest.mark.parametrize("skew_s", [-600, 600])
def test_sts_and_kms_on_a_clock_that_is_off(site, files, issuer, user, skew_s):
    files.credentials(base=keys_of(user("AKIABASE000000000001")))
    files.config({"default": {"role_arn": issuer.role_arn, "source_profile": "base"}})
    issuer.control({"skew_s": skew_s})
    assert works(site)
    assert issuer.counts["error.SignatureDoesNotMatch"] == 1


def test_what_sts_refuses_is_told_and_no_secret_with_it(site, files, issuer, user):
    base = user("AKIABASE000000000001")
    role = {"role_arn": issuer.role_arn, "source_profile": "base"}
    files.config({"default": role})
    files.credentials(base=keys_of(dataclasses.replace(base, secret_access_key="another/secret+0123456789")))
    site.secrets.add("another/secret+0123456789")
    assert "STS says SignatureDoesNotMatch" in refused(site)
    files.credentials(base=keys_of(Credentials("AKIANONE000000000001", "another/secret+0123456789")))
    assert "STS says InvalidClientTokenId" in refused(site)
    files.credentials(base=keys_of(base))
    files.config({"default": {**role, "role_arn": issuer.role_arn + "-2"}})
    error = refused(site)
    assert "STS says AccessDenied" in error and issuer.role_arn + "-2" in error
    files.config({"default": {**role, "mfa_serial": "arn:aws:iam::111122223333:mfa/anna"}})
    assert "mfa_serial" in refused(site) and "credential_process" in refused(site)
    files.config({"default": {"role_arn": issuer.role_arn}})
    assert "source_profile or credential_source" in refused(site)


def test_moto_s_sts_takes_the_signature_too(empty_site, moto):
    """STS and KMS as others wrote them, with their checks on."""
    site = AwsSite(empty_site.folder)
    site.at(moto.url)
    site.aws |= {"AWS_REGION": moto.region, "AWS_ENDPOINT_URL_STS": moto.url}
    site.secrets.add(moto.credentials.secret_access_key)
    files = Files(site)
    files.credentials(base=keys_of(moto.credentials))
    files.config({"default": {"role_arn": moto.role_arn, "source_profile": "base"}})
    site.create_at(moto.key_arn)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"
    # Only STS is asked as the user, KMS as the role.
    assert moto.proxy.counts[f"by.{moto.credentials.access_key_id}"] == moto.proxy.counts["POST /"]
    assert moto.proxy.counts["Decrypt"] >= 3


# A token of another party's.


@pytest.mark.usefixtures("identity")
def test_a_web_identity(site, issuer):
    site.aws["AWS_ROLE_SESSION_NAME"] = "pod-1"
    assert works(site)
    assert issuer.counts["sts AssumeRoleWithWebIdentity"] == 1
    assert issuer.assumed[0]["RoleSessionName"] == "pod-1"
    source = site.source()
    assert source.startswith(f"web identity {issuer.role_arn} via ")


def test_a_web_identity_of_a_profile(site, files, issuer, identity):
    del site.aws["AWS_WEB_IDENTITY_TOKEN_FILE"], site.aws["AWS_ROLE_ARN"]
    files.config({"default": {"role_arn": issuer.role_arn, "web_identity_token_file": identity}})
    assert works(site)
    assert issuer.counts["sts AssumeRoleWithWebIdentity"] == 1


def test_a_web_identity_token_that_is_no_good(site, identity):
    other = "header.another-token-0123456789.signature"
    site.secrets.add(other)
    identity.write_text(other)
    error = refused(site)
    assert "InvalidIdentityToken" in error
    identity.write_text("")
    assert "has no token in it" in refused(site)
    identity.unlink()
    assert str(identity) in refused(site)
    del site.aws["AWS_ROLE_ARN"]
    assert "AWS_ROLE_ARN" in refused(site)


# Containers.


@pytest.mark.usefixtures("container")
def test_a_container_with_a_token_file(site, issuer):
    assert works(site)
    assert issuer.counts["GET /v1/credentials"] == 1
    assert site.source() == "container endpoint (AWS_CONTAINER_CREDENTIALS_FULL_URI)"


@pytest.mark.usefixtures("container")
def test_a_container_with_a_token(site, issuer):
    del site.aws["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
    site.aws["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = issuer.authorization
    assert works(site)


def test_a_container_that_wants_no_token(site, issuer):
    site.aws["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{issuer.url}/v2/credentials/task"
    assert works(site)
    assert issuer.counts["GET /v2/credentials/task"] == 1


def test_what_a_container_refuses(site, issuer, container):
    other = "Token another-authorization-0123456789"
    site.secrets.add(other)
    container.write_text(other)
    error = refused(site)
    assert "container endpoint" in error and "HTTP status 401" in error
    container.write_text(other + "\nX-Evil: 1")
    assert "a token is one line" in refused(site)
    container.unlink()
    assert str(container) in refused(site)
    assert issuer.counts["GET /v1/credentials"] == 2, "it went on without the token"


@pytest.mark.parametrize(
    "url",
    ["http://example.com/x", "http://127.0.0.1.example.com/", "http://127.0.0.1@example.com/", "ftp://127.0.0.1/"],
)
def test_a_container_is_on_this_machine_or_behind_tls(site, url):
    site.aws["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
    start = time.monotonic()
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in refused(site)
    assert time.monotonic() - start < 5


# Instances.


@pytest.mark.usefixtures("instance")
def test_an_instance_s_role(site, issuer):
    assert works(site)
    assert issuer.counts["PUT /latest/api/token"] == 1
    assert issuer.counts["role document"] == 1
    assert site.source() == "instance metadata, role double-role"


@pytest.mark.usefixtures("instance")
def test_instance_metadata_may_be_off(site, issuer):
    site.aws["AWS_EC2_METADATA_DISABLED"] = "true"
    refused(site)
    assert not issuer.counts


@pytest.mark.usefixtures("instance")
def test_an_instance_without_a_role_and_none_at_all(site, issuer):
    issuer.control({"fault": "html_403", "only": "role document"})
    assert "HTTP status 403" in refused(site)
    issuer.stop()
    error = refused(site)
    assert "there are none" in error
    issuer.start()


def test_moto_is_an_instance_too(site, moto):
    """IMDSv2 as others wrote it; who it says one is, the strict KMS does not
    know."""
    site.aws["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = moto.url
    del site.aws["AWS_EC2_METADATA_DISABLED"]
    error = refused(site)
    assert "UnrecognizedClientException" in error and "instance metadata, role default-role" in error


# The order of them all.


@pytest.mark.usefixtures("identity", "container", "instance")
def test_the_first_that_is_configured_is_used(site, kms, files, issuer, user):
    env = user("AKIAENVIRONMENT00001")
    base, static, config = (user(f"AKIA{name}00000001") for name in ("BASE0000", "STATIC00", "CONFIG00"))
    process = program(site, printed(user("AKIAPROCESS000000001")))
    site.configure(aws_credential_process="yes")
    site.use(env)
    role = {"role_arn": issuer.role_arn, "source_profile": "base"}
    files.credentials(base=keys_of(base), default=keys_of(static))
    files.config({"default": {**role, "credential_process": process, **keys_of(config)}})
    assert site.source() == "environment AWS_ACCESS_KEY_ID"
    assert works(site) and used(kms, env.access_key_id) > 0
    site.forget()
    assert site.source().startswith("assume-role ")
    files.config({"default": {"credential_process": process, **keys_of(config)}})
    assert site.source().startswith("web identity ")
    del site.aws["AWS_WEB_IDENTITY_TOKEN_FILE"]
    assert site.source() == f"profile default of {files.folder / 'credentials'}"
    assert works(site) and used(kms, static.access_key_id) > 0
    files.credentials(base=keys_of(base))
    assert site.source() == "credential_process of profile default"
    assert works(site) and used(kms, "AKIAPROCESS000000001") > 0
    files.config({"default": keys_of(config)})
    assert site.source() == f"profile default of {files.folder / 'config'}"
    files.config({})
    assert site.source().startswith("container endpoint")
    del site.aws["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert site.source() == "instance metadata, role double-role"
    assert works(site)
    site.aws["AWS_EC2_METADATA_DISABLED"] = "true"
    refused(site)


def test_a_source_that_is_configured_and_fails_ends_the_search(site, files, user, identity):
    """Another one's credentials would be a surprise."""
    files.credentials(default=keys_of(user("AKIAFILE000000000001")))
    identity.unlink()
    assert "web identity" in refused(site)


@pytest.mark.parametrize(
    "pairs, words",
    [
        ({"sso_session": "corp", "sso_account_id": "111122223333"}, "IAM Identity Center"),
        ({"sso_start_url": "https://corp.awsapps.com/start"}, "IAM Identity Center"),
        ({"login_session": "arn:aws:iam::111122223333:user/anna"}, "aws login"),
    ],
)
def test_logins_of_people_are_told_the_way(site, files, pairs, words):
    files.config({"default": pairs})
    error = refused(site)
    assert words in error and "aws configure export-credentials" in error


def test_the_tool_and_the_provider_find_the_same(site, kms, files, user):
    files.credentials(default=keys_of(user("AKIAFILE000000000001")))
    site.rotate()
    assert works(site)
    site.rewrap()
    assert set(name for name in kms.counts if name.startswith("by.")) == {"by.AKIAFILE000000000001"}
    assert "\n0 findings\n" in site.tool("doctor")
