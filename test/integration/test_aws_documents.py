# SPDX-License-Identifier: Apache-2.0
"""What docs/kms-aws.md tells a reader to type is typed, against moto; and the
quickstart runs whole with its master key there."""
import base64
import json
import os
import re

import pytest

from aws_site import AwsSite
from conftest import BUILD, ROOT, version_of

TEXT = (ROOT / "docs" / "kms-aws.md").read_text()
MARK = "<!-- test -->"
QUICKSTART_S = 600


def blocks():
    return re.findall(r"^([^\n]*)\n```sh\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


def ensure_alias(moto, alias):
    """The names in the document are a reader's; moto lives longer than a test."""
    known = [entry["AliasName"] for entry in moto.kms("ListAliases")["Aliases"]]
    if alias not in known:
        made = moto.kms("CreateKey")["KeyMetadata"]["Arn"]
        moto.kms("CreateAlias", AliasName=alias, TargetKeyId=made)


@pytest.fixture
def site(empty_site, moto):
    made = AwsSite(empty_site.folder)
    made.at(moto.url)
    made.aws["AWS_REGION"] = moto.region
    made.aws["PATH"] = f"{BUILD}:{os.environ['PATH']}"
    made.use(moto.credentials)
    for alias in ("alias/customer-data", "alias/other"):
        ensure_alias(moto, alias)
    return made


def shell(site, block):
    return site.ok("sh", "-eu", "-c", block).decode()


def test_every_block_is_marked_as_tested():
    assert [block for before, block in blocks() if before != MARK] == []
    assert len(blocks()) == TEXT.count(MARK) == 3


def test_a_key_and_its_copies(site, moto):
    create, move, _ = (block for _, block in blocks())
    assert "aws-kms:arn:aws:kms:" in shell(site, create)
    message = site.encrypt(b"anna", "customer-emails")
    before = site.content("customer-emails")["versions"][0]["copies"]
    shell(site, move)
    (copy,) = site.content("customer-emails")["versions"][0]["copies"]
    assert copy["kms"].startswith("aws-kms:arn:") and copy["kms"] != before[0]["kms"]
    assert site.decrypt(message, "customer-emails") == b"anna"
    assert version_of(message) == 1


def test_a_data_key_that_is_there(site, moto):
    *_, adopt = (block for _, block in blocks())
    made = moto.kms("GenerateDataKey", KeyId="alias/customer-data", KeySpec="AES_256")
    (site.folder / "data-key.blob").write_bytes(base64.b64decode(made["CiphertextBlob"]))
    site.secrets.add(base64.b64decode(made["Plaintext"]))
    shell(site, adopt)
    for name in ("legacy-emails", "imported"):
        assert site.decrypt(site.encrypt(b"anna", name), name) == b"anna"


def test_the_policy_is_json_and_names_what_the_copies_carry(site):
    block = re.search(r"^    \{\n(?:^    .*\n)*?^    \}$", TEXT, flags=re.MULTILINE).group()
    policy = json.loads(block)
    assert policy["Action"] == "kms:Decrypt"
    assert list(policy["Condition"]["StringEquals"]) == ["kms:EncryptionContext:kms-envelope:key"]


def test_every_setting_is_one_of_the_configuration():
    keys = set(re.findall(r"^\| `((?:aws|kms)-[a-z-]+)`", TEXT, flags=re.MULTILINE))
    keys |= set(re.findall(r"`((?:aws|kms)-(?:no-proxy|connect-timeout))`", TEXT))
    params = (ROOT / "include" / "kms_envelope" / "params.h").read_text()
    known = set(re.findall(r'KMSE_CONF_\w+ +"((?:aws|kms)-[a-z-]+)"', params))
    assert keys == known


def test_the_quickstart_with_its_master_key_in_kms(site, moto):
    """1,100,000 rows; it fails by itself unless two calls did for all of them."""
    script = ROOT / "cmake" / "quickstart.sh"
    out = site.ok("sh", script, "--master-key", f"aws-kms:{moto.alias}", timeout=QUICKSTART_S).decode()
    assert re.search(r"^version 2 +100000 rows", out, re.MULTILINE), out
    assert moto.proxy.counts["Decrypt"] <= 9, moto.proxy.counts
