# SPDX-License-Identifier: Apache-2.0
"""The main job with its master key in moto, an AWS KMS that others wrote, with
its check of signatures on."""
import dataclasses
import re
import shlex

import pytest

from aws_site import AwsSite
from conftest import BUILD, TOOL, version_of

ROWS = 1_000_000
PHP = """\
$box = openssl_encrypt('anna', 'kms-envelope', 'emails', OPENSSL_RAW_DATA);
echo ord($box[3]), openssl_decrypt($box, 'kms-envelope', 'emails', OPENSSL_RAW_DATA);"""


@pytest.fixture
def site(empty_site, moto):
    made = AwsSite(empty_site.folder)
    made.at(moto.url)
    made.aws["AWS_REGION"] = moto.region
    made.use(moto.credentials)
    return made


NAMES = {
    "ARN": lambda moto: moto.key_arn,
    "alias": lambda moto: moto.alias,
    "alias ARN": lambda moto: f"{moto.key_arn.rpartition(':')[0]}:{moto.alias}",
    "key id": lambda moto: moto.key_arn.rpartition("/")[2],
}


@pytest.mark.parametrize("name", NAMES)
def test_create_encrypt_rotate_rewrap_decrypt(site, moto, program, name):
    site.create_at(NAMES[name](moto))
    first = site.encrypt(b"anna")
    site.rotate()
    second = site.encrypt(b"bert")
    assert (version_of(first), version_of(second)) == (1, 2)
    assert site.ok(program("php"), "-r", PHP) == b"2anna"
    before = site.content()
    site.rewrap()
    after = site.content()
    for old, new in zip(before["versions"], after["versions"], strict=True):
        assert new["copies"][0]["kms"] == f"aws-kms:{moto.key_arn}"
        assert new["copies"][0]["blob"] != old["copies"][0]["blob"]
    assert (site.decrypt(first), site.decrypt(second)) == (b"anna", b"bert")


def test_a_million_rows_over_two_versions_and_hardly_a_call(site, moto):
    """The program has its own access key, so that its calls are told from
    those of the rotation in the middle."""
    site.create_at(moto.key_arn)
    rotate = site.folder / "rotate"
    rotate.write_text(
        f"export AWS_ACCESS_KEY_ID={moto.others.access_key_id}\n"
        f"export AWS_SECRET_ACCESS_KEY={moto.others.secret_access_key}\n"
        f"exec {shlex.quote(str(TOOL))} rotate emails --keys {shlex.quote(str(site.keys))}\n"
    )
    rotate.chmod(0o600)
    site.secrets.add(moto.others.secret_access_key)
    moto.proxy.reset()
    out = site.ok(
        BUILD / "examples" / "emails", "--after-fill", f"sh {shlex.quote(str(rotate))}",
        "--count", "kms-envelope:kms-calls", site.folder / "emails.db", ROWS, "KMS-ENVELOPE", "emails",
    ).decode()  # fmt: skip
    done = [(phase, int(rows)) for phase, rows in re.findall(r"^([a-z-]+) (\d+) rows, ", out, re.MULTILINE)]
    assert done == [("written", ROWS), ("written", ROWS // 10), ("read-back", ROWS + ROWS // 10)], out
    assert moto.proxy.counts[f"by.{moto.credentials.access_key_id}"] <= 4
    assert moto.proxy.counts[f"by.{moto.others.access_key_id}"] >= 2, "the rotation"
    assert int(re.search(r"^kms-calls (\d+)$", out, re.MULTILINE)[1]) <= 4
    assert len(site.content()["versions"]) == 2


def test_the_wrong_secret_is_named_and_not_printed(site, moto):
    site.use(dataclasses.replace(moto.credentials, secret_access_key="wrong/secret+0123456789"))
    error = site.create_fails(moto.key_arn)
    assert f"aws-kms:{moto.key_arn}: kms:GenerateDataKey in {moto.region}" in error
    # moto answers as IAM would, in XML: KMS itself has a code for it.
    assert "403" in error


def test_an_access_key_that_is_not_known(site, moto):
    site.use(dataclasses.replace(moto.credentials, access_key_id="AKIANONE000000000000"))
    assert "403" in site.create_fails(moto.key_arn)


def test_a_session_token_goes_with_its_key(site, moto):
    session = moto.session()
    site.use(session)
    site.create_at(moto.key_arn)
    message = site.encrypt(b"anna")
    assert site.decrypt(message) == b"anna"
    assert moto.proxy.counts[f"by.{session.access_key_id}"] >= 3
    site.use(dataclasses.replace(session, session_token="another+token/0123456789"))
    assert "403" in site.decrypt_fails(message)
    site.use(dataclasses.replace(session, session_token=None))
    assert "403" in site.decrypt_fails(message)


def test_a_master_key_that_moto_has_not(site, moto):
    error = site.create_fails(f"{moto.key_arn[:-4]}0000")
    assert "the master key is not found" in error and "NotFoundException" in error


def test_the_context_is_what_moto_was_told(site, moto):
    """Only the context in the key file opens the blob."""
    site.create_at(moto.key_arn, options=("--context", "app=crm"))
    copy = site.content()["versions"][0]["copies"][0]
    given = {"CiphertextBlob": copy["blob"], "EncryptionContext": copy["context"]}
    assert len(moto.kms("Decrypt", **given)["Plaintext"]) == 44
    assert copy["context"] == {"app": "crm", "kms-envelope:key": "emails", "kms-envelope:version": "1"}
    from doubles.moto import MotoError

    for name in copy["context"]:
        wrong = {**copy["context"], name: "other"}
        with pytest.raises(MotoError, match="InvalidCiphertextException"):
            moto.kms("Decrypt", CiphertextBlob=copy["blob"], EncryptionContext=wrong)
