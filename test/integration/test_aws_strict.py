# SPDX-License-Identifier: Apache-2.0
"""Master keys in a KMS that is as strict as AWS's: rotated, disabled, deleted,
denied, in two Regions and two accounts. The reasons are those of
docs/kms-aws.md."""
import base64
import dataclasses
import hashlib
import json
import time

import pytest

from aws_site import AwsSite
from conftest import TOOL, version_of
from doubles.connect_proxy import ConnectProxy
from doubles.kms_keys import DAY_S
from doubles.kms_server import KmsDouble

A, B = "eu-west-1", "us-east-1"
OTHER_ACCOUNT = "444455556666"
NOT_HERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def master(kms):
    return kms.store.create(A)


@pytest.fixture
def site(aws_site, master):
    aws_site.create_at(master.arn)
    return aws_site


def down(kms, region):
    kms.control({"fault": "close", "only": f"region.{region}"})


def reset_counts(kms):
    kms.control({"reset_counts": True})


def actions(kms):
    """How often each action was asked for, since the counts were reset."""
    return {name: count for name, count in kms.counts.items() if name[0].isupper()}


class Rows:
    """Messages in files: what must not change."""

    def __init__(self, site):
        self.site = site
        self.folder = site.folder / "rows"
        self.folder.mkdir()

    def write(self, *texts):
        for text in texts:
            (self.folder / text).write_bytes(self.site.encrypt(text.encode()))

    def hashes(self):
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.folder.iterdir()}

    def all_open(self):
        """In one process that knows nothing yet."""
        with self.site.loop() as loop:
            for path in self.folder.iterdir():
                assert loop.decrypt(path.read_bytes()) == path.name
        return True


@pytest.fixture
def rows(site):
    made = Rows(site)
    made.write("anna", "bert")
    return made


# The master key rotates.


def test_the_master_key_rotates_between_two_versions_and_all_opens(site, rows, master):
    first = master.material.newest
    master.material.rotate()
    second = master.material.newest
    assert rows.all_open()
    site.rotate()
    rows.write("carl")
    assert site.copies() == [[(f"aws-kms:{master.arn}", first)], [(f"aws-kms:{master.arn}", second)]]
    assert version_of((rows.folder / "carl").read_bytes()) == 2
    assert rows.all_open()


def test_rewrapping_renews_the_blobs_and_touches_no_data(site, rows, master):
    site.rotate()
    rows.write("carl")
    hashes, before = rows.hashes(), site.content()
    old = master.material.newest
    master.material.rotate()
    new = master.material.newest
    site.rewrap()
    assert site.copies() == [[(f"aws-kms:{master.arn}", new)]] * 2
    assert new != old
    after = site.content()
    for version, was in zip(after["versions"], before["versions"], strict=True):
        assert version["commitment"] == was["commitment"]
    assert after["mac"] == before["mac"]
    assert rows.hashes() == hashes
    # What the old material made is of no use any more, and none is needed.
    del master.material.secrets[old]
    assert rows.all_open()


def test_within_a_region_the_data_key_stays_in_kms(site, kms):
    site.rotate()
    reset_counts(kms)
    site.rewrap()
    calls = actions(kms)
    assert calls.pop("ReEncrypt") == 2
    # The proofs: of each new copy, once more of what is about to be written,
    # and of the file's MAC.
    assert 2 <= calls.pop("Decrypt") <= 5
    assert calls == {}


def test_to_another_key_of_the_region_it_stays_there_too(site, rows, kms, master):
    other = kms.store.create(A)
    reset_counts(kms)
    site.rewrap("--to", f"aws-kms:{other.arn}")
    calls = actions(kms)
    assert calls["ReEncrypt"] == 1 and "Encrypt" not in calls
    assert [uri for uri, _ in site.copies()[0]] == [f"aws-kms:{other.arn}"]
    master.state = "Disabled"
    assert rows.all_open()


# What the KMS refuses, each by its name and with its mend.


def stops_and_starts_again(site, stop, start, *words):
    """A running program, a new one, and the tool: until it may again."""
    site.configure(max_age="1s")
    message = site.encrypt(b"anna")
    key_file = site.key_file().read_bytes()
    with site.loop() as loop:
        assert loop.decrypt(message) == "anna"
        stop()
        error = eventually_fails(loop)
        for word in words:
            assert word in error, error
        decrypt_error = site.decrypt_fails(message)
        rotate_error = site.fails(TOOL, "rotate", "emails", "--keys", site.keys)
        for word in words:
            assert word in decrypt_error and word in rotate_error, (decrypt_error, rotate_error)
        assert site.key_file().read_bytes() == key_file
        start()
        loop.recovers()
        assert loop.decrypt(message) == "anna"


def eventually_fails(loop, within_s=4):
    """At the latest when max-age (1 s) is over."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        worked, said = loop.ask("encrypt anna")
        if not worked:
            return said
        time.sleep(0.05)
    raise AssertionError("it went on")


def set_state(key, state):
    def change():
        key.state = state

    return change


def test_a_disabled_master_key_stops_it_until_it_is_enabled(site, master):
    stops_and_starts_again(
        site,
        set_state(master, "Disabled"),
        set_state(master, "Enabled"),
        "the master key is disabled",
        f"aws-kms:{master.arn}",
        "DisabledException",
        "enable the key",
    )


def test_a_master_key_about_to_be_deleted_stops_it_until_that_is_cancelled(site, kms, master):
    stops_and_starts_again(
        site,
        lambda: kms.store.schedule_deletion(master, 7),
        set_state(master, "Enabled"),
        "the master key is about to be deleted",
        master.arn,
        "cancel its deletion",
    )


def test_another_state_is_named(site, master):
    stops_and_starts_again(
        site,
        set_state(master, "PendingReplicaDeletion"),
        set_state(master, "Enabled"),
        "the master key's state does not allow it",
        "pending replica deletion",
    )


def test_credentials_that_are_revoked_stop_it_until_they_are_back(site, accounts, administrator):
    stops_and_starts_again(
        site,
        lambda: accounts.remove(administrator.access_key_id),
        lambda: accounts.add(administrator),
        "no credentials for the KMS",
        "UnrecognizedClientException",
        "AWS_ACCESS_KEY_ID",
        "kms-envelope doctor",
    )


def test_what_is_denied_stops_it_until_it_is_allowed(site, accounts):
    stops_and_starts_again(
        site,
        lambda: accounts.deny("*", "Decrypt"),
        lambda: accounts.deny("*", "Decrypt", denied=False),
        "the KMS denied access",
        "kms:Decrypt",
        "not authorized to perform: kms:Decrypt",
        "allow it in the key's policy and in IAM",
    )


def test_a_deleted_master_key_is_gone(site, kms, master):
    message = site.encrypt(b"anna")
    kms.store.schedule_deletion(master, 7)
    kms.control({"advance_s": 8 * DAY_S, "skew_s": -8 * DAY_S})
    error = site.decrypt_fails(message)
    assert "the master key is not found" in error and master.arn in error
    assert "see Region and account" in error
    assert "the master key is not found" in site.fails(TOOL, "rewrap", "emails", "--keys", site.keys)


def change_copy(site, version, change):
    """Wrapped copies are not covered by the file's MAC."""
    content = site.content()
    change(content["versions"][version - 1]["copies"][0], content)
    site.key_file().write_text(json.dumps(content))


def test_a_copy_under_another_master_key_than_it_says(site, kms):
    message = site.encrypt(b"anna")
    other = kms.store.create(A)
    change_copy(site, 1, lambda copy, _: copy.update(kms=f"aws-kms:{other.arn}"))
    error = site.decrypt_fails(message)
    assert "another master key made this wrapped key" in error
    assert "IncorrectKeyException" in error and other.arn in error


def test_a_blob_that_was_changed_does_not_open(site):
    message = site.encrypt(b"anna")

    def flip(copy, _):
        blob = bytearray(base64.b64decode(copy["blob"]))
        blob[-1] ^= 1
        copy["blob"] = base64.b64encode(blob).decode()

    change_copy(site, 1, flip)
    error = site.decrypt_fails(message)
    assert "the KMS cannot open this wrapped key" in error
    assert "InvalidCiphertextException" in error


def test_the_blob_of_one_version_does_not_stand_for_another(site):
    """The encryption context binds it to key and version."""
    message = site.encrypt(b"anna")
    site.rotate()

    def take_second(copy, content):
        copy["blob"] = content["versions"][1]["copies"][0]["blob"]

    change_copy(site, 1, take_second)
    assert "the KMS cannot open this wrapped key" in site.decrypt_fails(message)


def test_the_blob_of_one_key_does_not_stand_for_another(site, master):
    message = site.encrypt(b"anna")
    site.create_at(master.arn, name="orders")
    blob = site.content("orders")["versions"][0]["copies"][0]["blob"]
    change_copy(site, 1, lambda copy, _: copy.update(blob=blob))
    assert "the KMS cannot open this wrapped key" in site.decrypt_fails(message)


def test_a_context_of_the_user_s_own_is_bound_too(aws_site, kms, master):
    aws_site.create_at(master.arn, options=("--context", "app=crm"))
    message = aws_site.encrypt(b"anna")
    assert aws_site.decrypt(message) == b"anna"
    assert aws_site.content()["versions"][0]["copies"][0]["context"]["app"] == "crm"
    del kms.store.keys[A, master.key_id]
    assert "not found" in aws_site.decrypt_fails(message)


# One action is denied.


@pytest.mark.parametrize(
    "denied, named",
    [
        (["GenerateDataKey", "GenerateDataKeyWithoutPlaintext"], "GenerateDataKey"),
        (["Decrypt"], "Decrypt"),
        (["DescribeKey"], "DescribeKey"),
    ],
)
def test_what_create_needs(aws_site, kms, accounts, master, denied, named):
    kms.store.aliases[A, "alias/ours"] = master.key_id
    aws_site.aws["AWS_REGION"] = A
    for action in denied:
        accounts.deny("*", action)
    error = aws_site.create_fails("alias/ours")
    assert "the KMS denied access" in error and f"kms:{named} in {A}" in error
    assert f"not authorized to perform: kms:{named}" in error
    assert "allow it in the key's policy and in IAM" in error
    for action in denied:
        accounts.deny("*", action, denied=False)
    aws_site.create_at("alias/ours")
    assert aws_site.copies()[0][0][0] == f"aws-kms:{master.arn}"


@pytest.mark.parametrize("permission", ["ReEncryptFrom", "ReEncryptTo"])
def test_what_rewrap_needs_within_a_region(site, rows, accounts, permission):
    before = site.key_file().read_bytes()
    accounts.deny("*", permission)
    error = site.fails(TOOL, "rewrap", "emails", "--keys", site.keys)
    assert "the KMS denied access" in error and "kms:ReEncrypt" in error
    assert f"not authorized to perform: kms:{permission}" in error
    assert site.key_file().read_bytes() == before
    assert rows.all_open()


def test_what_rewrap_needs_across_regions(site, rows, kms, accounts):
    other = kms.store.create(B)
    before = site.key_file().read_bytes()
    accounts.deny("*", "Encrypt")
    error = site.fails(TOOL, "rewrap", "emails", "--keys", site.keys, "--to", f"aws-kms:{other.arn}")
    assert "the KMS denied access" in error and f"kms:Encrypt in {B}" in error
    assert site.key_file().read_bytes() == before
    assert rows.all_open()


def test_programs_need_to_decrypt_and_no_more(site, accounts, administrator):
    reader = dataclasses.replace(administrator, access_key_id="AKIAREADER0000000001")
    accounts.add(reader)
    accounts.policy[reader.access_key_id] = {"Decrypt"}
    site.use(reader)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"
    error = site.fails(TOOL, "rotate", "emails", "--keys", site.keys)
    assert "not authorized to perform: kms:GenerateDataKey" in error


def test_who_may_not_have_a_data_key_s_plaintext_creates_in_two_steps(aws_site, kms, accounts, master):
    accounts.deny("*", "GenerateDataKey")
    aws_site.create_at(master.arn)
    aws_site.rotate()
    assert kms.counts["GenerateDataKeyWithoutPlaintext"] == 2
    assert version_of(aws_site.encrypt(b"anna")) == 2
    assert aws_site.decrypt(aws_site.encrypt(b"anna")) == b"anna"


# Expiry.


def test_a_session_that_expired_says_so(site, issuer):
    message = site.encrypt(b"anna")
    session = issuer.issue(issuer.role_arn, 60)
    site.use(session)
    assert site.decrypt(message) == b"anna"
    session.expires_s = time.time() - 1
    error = site.decrypt_fails(message)
    assert "no credentials for the KMS" in error and "ExpiredTokenException" in error
    assert "environment" in error


# Names of keys.


def test_an_alias_is_looked_up_once_and_its_key_kept(aws_site, kms, master):
    kms.store.aliases[A, "alias/ours"] = master.key_id
    arn = master.arn.rpartition(":")[0] + ":alias/ours"
    aws_site.create_at(arn)
    message = aws_site.encrypt(b"anna")
    kms.store.aliases[A, "alias/ours"] = kms.store.create(A).key_id
    assert aws_site.decrypt(message) == b"anna"
    assert aws_site.copies()[0][0][0] == f"aws-kms:{master.arn}"


@pytest.mark.parametrize(
    "name, word",
    [
        (NOT_HERE, "the master key is not found"),
        ("alias/none", "Alias arn:aws:kms:eu-west-1:111122223333:alias/none is not found"),
        (f"arn:aws:kms:{A}:111122223333:key/{NOT_HERE}", "the master key is not found"),
    ],
)
def test_a_master_key_that_is_not_there(aws_site, name, word):
    aws_site.aws["AWS_REGION"] = A
    assert word in aws_site.create_fails(name)


def test_a_name_without_a_region_wants_one(aws_site, master):
    assert "no AWS Region" in aws_site.create_fails(master.key_id)
    aws_site.aws["AWS_DEFAULT_REGION"] = A
    aws_site.create_at(master.key_id)


@pytest.mark.parametrize("name", ["alias/", "no key", "arn:aws:s3:::bucket", f"arn:aws:kms:{A}:1:key/x", "../x"])
def test_what_is_no_name_of_a_key_is_not_asked_for(aws_site, kms, name):
    assert "the master key's URI is not valid" in aws_site.create_fails(name)
    assert actions(kms) == {}


# Several copies.


@pytest.fixture
def two(aws_site, kms):
    """Two master keys in two Regions and accounts, and a key under both."""
    first, second = kms.store.create(A), kms.store.create(B, account=OTHER_ACCOUNT)
    aws_site.create_at(first.arn, second.arn)
    return first, second


def test_a_key_has_a_copy_in_each_account(aws_site, two):
    uris = [uri for uri, _ in aws_site.copies()[0]]
    assert uris == [f"aws-kms:{key.arn}" for key in two]
    aws_site.rotate()
    assert [uri for uri, _ in aws_site.copies()[1]] == uris


@pytest.mark.parametrize("region", [A, B])
@pytest.mark.usefixtures("two")
def test_one_region_down_is_no_harm(aws_site, kms, region):
    message = aws_site.encrypt(b"anna")
    down(kms, region)
    assert aws_site.decrypt(message) == b"anna"
    assert aws_site.decrypt(aws_site.encrypt(b"bert")) == b"bert"


def test_both_regions_down_tells_of_both(aws_site, kms, two):
    message = aws_site.encrypt(b"anna")
    kms.control({"fault": "close"})
    error = aws_site.decrypt_fails(message)
    assert "the KMS is unreachable" in error
    for key in two:
        assert key.arn in error


def test_an_account_that_says_no_is_no_harm_until_both_do(aws_site, two):
    message = aws_site.encrypt(b"anna")
    two[0].state = "Disabled"
    assert aws_site.decrypt(message) == b"anna"
    two[1].state = "Disabled"
    error = aws_site.decrypt_fails(message)
    assert "the master key is disabled" in error


@pytest.mark.usefixtures("two")
def test_a_running_program_fails_over_and_back(aws_site, kms):
    aws_site.configure(max_age="1s", stale_if_unreachable="0")
    message = aws_site.encrypt(b"anna")
    with aws_site.loop() as loop:
        for region in (A, B, A):
            down(kms, region)
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                assert loop.decrypt(message) == "anna"
                loop.encrypt()
                time.sleep(0.02)
            assert kms.counts["faults"] > 0 or region == B
        kms.control({"fault": None})


@pytest.fixture
def multi_region(kms):
    primary = kms.store.create(A, multi_region=True)
    return primary, kms.store.replicate(primary, B)


def test_a_multi_region_key_opens_in_region_b_when_a_is_down(aws_site, kms, multi_region):
    primary, replica = multi_region
    aws_site.create_at(primary.arn, replica.arn)
    message = aws_site.encrypt(b"anna")
    down(kms, A)
    reset_counts(kms)
    assert aws_site.decrypt(message) == b"anna"
    assert kms.counts[f"region.{B}"] == 1
    down(kms, B)
    assert aws_site.decrypt(message) == b"anna"


def test_rewrap_moves_to_another_region_and_the_old_one_may_go(site, rows, kms):
    site.rotate()
    rows.write("carl")
    hashes = rows.hashes()
    target = kms.store.create(B)
    site.rewrap("--to", f"aws-kms:{target.arn}")
    assert [[uri for uri, _ in copies] for copies in site.copies()] == [[f"aws-kms:{target.arn}"]] * 2
    down(kms, A)
    assert rows.all_open() and rows.hashes() == hashes
    site.rotate()
    assert site.copies()[2][0][0] == f"aws-kms:{target.arn}"


def test_rewrap_from_a_region_that_is_down_uses_the_other_copy(aws_site, kms, two):
    message = aws_site.encrypt(b"anna")
    third = kms.store.create("eu-central-1")
    down(kms, A)
    aws_site.rewrap("--to", f"aws-kms:{third.arn}")
    assert [uri for uri, _ in aws_site.copies()[0]] == [f"aws-kms:{third.arn}"]
    kms.control({"fault": None})
    for key in two:
        key.state = "Disabled"
    assert aws_site.decrypt(message) == b"anna"


# At AWS's own names, with TLS verified, through a proxy.


@pytest.fixture
def as_in_aws(empty_site, accounts, administrator, authority):
    """A site that is told no endpoint: a proxy and an authority, as companies
    have them."""
    from doubles.certificates import AWS

    pair = authority.issue("aws", hosts=AWS)
    server = KmsDouble(accounts, certificate=pair.certificate, key=pair.key).start()
    proxy = ConnectProxy({f"{host}:443": server.port for host in AWS})
    site = AwsSite(empty_site.folder)
    site.kms = server
    site.use(administrator)
    site.aws |= {"HTTPS_PROXY": proxy.url, "AWS_CA_BUNDLE": str(authority.bundle)}
    yield site, proxy
    proxy.stop()
    server.stop()


def test_aws_s_own_names_are_reached_through_a_proxy(as_in_aws):
    site, proxy = as_in_aws
    first, second = site.kms.store.create(A), site.kms.store.create(B)
    site.create_at(first.arn, second.arn)
    message = site.encrypt(b"anna")
    assert site.decrypt(message) == b"anna"
    assert set(proxy.counts) == {f"kms.{region}.amazonaws.com:443" for region in (A, B)}
    # The proxy sees where a connection goes, and no more.
    heads = b"".join(proxy.heads)
    assert b"X-Amz" not in heads and b"Authorization" not in heads
    with proxy.lock:
        del proxy.routes[f"kms.{A}.amazonaws.com:443"]
    assert site.decrypt(message) == b"anna"


def test_the_proxy_may_be_named_in_openssl_cnf(as_in_aws, authority):
    site, proxy = as_in_aws
    del site.aws["HTTPS_PROXY"], site.aws["AWS_CA_BUNDLE"]
    site.configure(aws_proxy=proxy.url, aws_ca_bundle=authority.bundle, kms_timeout="2s")
    site.create_at(site.kms.store.create(A).arn)
    assert site.decrypt(site.encrypt(b"anna")) == b"anna"
    assert proxy.counts[f"kms.{A}.amazonaws.com:443"] >= 3


def test_a_proxy_that_refuses_is_named(as_in_aws):
    site, proxy = as_in_aws
    with proxy.lock:
        proxy.routes.clear()
    error = site.create_fails(f"arn:aws:kms:{A}:111122223333:key/{NOT_HERE}")
    assert "the KMS is unreachable" in error and "proxy" in error
