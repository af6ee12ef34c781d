# SPDX-License-Identifier: Apache-2.0
"""The servers that the AWS stories stand on, judged by a client of others.

botocore signs, sends and reads; what it makes of an answer is AWS's own view.
"""
import base64
import dataclasses
import email.utils
import http.client
import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest

from conftest import ROOT
from doubles import moto as moto_double
from doubles.botocore_client import Botocore, Refused
from doubles.kms_keys import DAY_S
from doubles.kms_server import TARGET, KmsDouble
from doubles.messages import AWS_JSON
from doubles.sigv4 import Credentials, sign

REGION, OTHER_REGION = "eu-west-1", "us-east-1"
CONTEXT = {"app": "crm", "kms-envelope:key": "00112233"}
SKEWS_S = (-360, 360)


@pytest.fixture(scope="module")
def botocore(tmp_path_factory):
    started = Botocore(moto_double.botocore_python(), tmp_path_factory.mktemp("botocore"))
    yield started
    started.end()


class Client:
    """botocore at the strict double, as the administrator."""

    def __init__(self, botocore, kms, credentials):
        self.botocore, self.kms, self.credentials = botocore, kms, credentials

    def __call__(self, action, region=REGION, **members):
        members.setdefault("credentials", self.credentials)
        members.setdefault("url", self.kms.url)
        return self.botocore.call(action=action, region=region, **members)

    def refused(self, action, code, **members):
        with pytest.raises(Refused) as caught:
            self(action, **members)
        assert caught.value.code == code, caught.value
        return caught.value

    def create(self, region=REGION, **members):
        return self("CreateKey", region=region, **members)["KeyMetadata"]["Arn"]


@pytest.fixture
def client(botocore, kms, administrator):
    return Client(botocore, kms, administrator)


@pytest.fixture
def key(client):
    return client.create()


# The actions.


def test_a_data_key_comes_back(client, key):
    made = client("GenerateDataKey", KeyId=key, KeySpec="AES_256", EncryptionContext=CONTEXT)
    assert len(made["Plaintext"]) == 32 and made["KeyId"] == key
    opened = client("Decrypt", KeyId=key, CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == made["Plaintext"]
    assert opened["KeyMaterialId"] == made["KeyMaterialId"]
    assert opened["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"


def test_one_without_its_plaintext_opens_too(client, key):
    made = client("GenerateDataKeyWithoutPlaintext", KeyId=key, KeySpec="AES_256")
    assert "Plaintext" not in made
    assert len(client("Decrypt", CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == 32


def test_a_key_has_four_names(client, key):
    client("CreateAlias", AliasName="alias/ours", TargetKeyId=key)
    alias_arn = key.rpartition(":")[0] + ":alias/ours"
    for name in (key, key.rpartition("/")[2], "alias/ours", alias_arn):
        assert client("Encrypt", KeyId=name, Plaintext=b"x")["KeyId"] == key
        assert client("DescribeKey", KeyId=name)["KeyMetadata"]["Arn"] == key


def test_re_encrypting_changes_key_and_context(client, key):
    target = client.create()
    blob = client("Encrypt", KeyId=key, Plaintext=b"data key", EncryptionContext=CONTEXT)["CiphertextBlob"]
    moved = client(
        "ReEncrypt",
        SourceKeyId=key,
        CiphertextBlob=blob,
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=target,
        DestinationEncryptionContext={"new": "context"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key, target)
    opened = client(
        "Decrypt", KeyId=target, CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"new": "context"}
    )
    assert opened["Plaintext"] == b"data key"


@pytest.mark.parametrize("given", [{}, {"a": "b", "c": "d"}, {"ab": ""}, {"a": "B"}, {"A": "b"}])
def test_another_context_does_not_open(client, key, given):
    blob = client("Encrypt", KeyId=key, Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    client.refused("Decrypt", "InvalidCiphertextException", CiphertextBlob=blob, EncryptionContext=given)


def test_a_changed_or_cut_blob_does_not_open(client, key):
    blob = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for at in (0, 60, len(blob) - 1):
        bad = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        client.refused("Decrypt", "InvalidCiphertextException", CiphertextBlob=bad)
    for end in (1, 30, len(blob) - 1):
        client.refused("Decrypt", "InvalidCiphertextException", CiphertextBlob=blob[:end])


def test_another_key_than_the_blob_s_is_refused(client, key):
    blob = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    client.refused("Decrypt", "IncorrectKeyException", KeyId=client.create(), CiphertextBlob=blob)


@pytest.mark.parametrize(
    "name",
    [
        "00000000-0000-4000-8000-000000000000",
        "alias/none",
        "arn:aws:kms:eu-west-1:111122223333:alias/none",
        "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000000",
    ],
)
def test_a_key_that_is_not_there_is_not_found(client, name):
    client.refused("DescribeKey", "NotFoundException", KeyId=name)


def test_a_key_is_of_one_account(client, kms):
    theirs = kms.store.create(REGION, account="444455556666").arn
    assert client("Encrypt", KeyId=theirs, Plaintext=b"x")["KeyId"] == theirs
    mixed = theirs.replace("444455556666", "111122223333")
    client.refused("Encrypt", "NotFoundException", KeyId=mixed, Plaintext=b"x")


def test_what_kms_does_not_know_is_refused(client, key):
    client.refused("GenerateDataKey", "ValidationException", KeyId=key)
    client.refused("GenerateDataKey", "DryRunOperationException", KeyId=key, KeySpec="AES_256", DryRun=True)
    client.refused("ListKeys", "UnknownOperationException")


# What moto has not.


def test_rotation_makes_new_material_and_old_blobs_open(client, key):
    old = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    first = client("DescribeKey", KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    client("RotateKeyOnDemand", KeyId=key)
    second = client("DescribeKey", KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    new = client("ReEncrypt", CiphertextBlob=old, DestinationKeyId=key)
    assert first != second
    assert (new["SourceKeyMaterialId"], new["DestinationKeyMaterialId"]) == (first, second)
    assert client("Decrypt", CiphertextBlob=old)["KeyMaterialId"] == first
    assert client("Decrypt", CiphertextBlob=new["CiphertextBlob"])["KeyMaterialId"] == second


def test_a_disabled_key_does_nothing_until_it_is_enabled(client, key):
    blob = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    client("DisableKey", KeyId=key)
    assert client("DescribeKey", KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    refused = client.refused("Decrypt", "DisabledException", CiphertextBlob=blob)
    assert refused.kind == "DisabledException", "botocore's model knows it"
    client.refused("GenerateDataKey", "DisabledException", KeyId=key, KeySpec="AES_256")
    client("EnableKey", KeyId=key)
    assert client("Decrypt", CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_key_waits_for_its_deletion_and_is_gone(client, kms, key):
    blob = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    client("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    refused = client.refused("Decrypt", "KMSInvalidStateException", CiphertextBlob=blob)
    assert "pending deletion" in refused.message
    client("CancelKeyDeletion", KeyId=key)
    client.refused("Decrypt", "DisabledException", CiphertextBlob=blob)
    client("EnableKey", KeyId=key)
    client("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    # Eight days by which things expire; signatures are still of today.
    kms.control({"advance_s": 8 * DAY_S, "skew_s": -8 * DAY_S})
    client.refused("DescribeKey", "NotFoundException", KeyId=key)


def test_a_multi_region_key_opens_in_both(client):
    primary = client.create(MultiRegion=True)
    made = client("ReplicateKey", KeyId=primary, ReplicaRegion=OTHER_REGION)
    replica = made["ReplicaKeyMetadata"]["Arn"]
    assert primary.rpartition("/")[2].startswith("mrk-")
    assert replica == primary.replace(REGION, OTHER_REGION)
    blob = client("Encrypt", KeyId=primary, Plaintext=b"x")["CiphertextBlob"]
    assert client("Decrypt", region=OTHER_REGION, KeyId=replica, CiphertextBlob=blob)["KeyId"] == replica


def test_a_key_of_one_region_opens_in_no_other(client, key):
    blob = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    client.refused("Decrypt", "AccessDeniedException", region=OTHER_REGION, CiphertextBlob=blob)
    client.refused("Decrypt", "NotFoundException", region=OTHER_REGION, KeyId=key, CiphertextBlob=blob)


def test_a_policy_may_deny_one_action(client, accounts, key):
    accounts.deny("*", "Encrypt")
    refused = client.refused("Encrypt", "AccessDeniedException", KeyId=key, Plaintext=b"x")
    assert "not authorized to perform: kms:Encrypt" in refused.message
    accounts.deny("*", "Encrypt", denied=False)
    blob = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    accounts.deny("*", "ReEncryptTo")
    refused = client.refused("ReEncrypt", "AccessDeniedException", CiphertextBlob=blob, DestinationKeyId=key)
    assert "kms:ReEncryptTo" in refused.message


# Signatures.


def test_the_wrong_secret_is_refused(client, administrator):
    wrong = dataclasses.replace(administrator, secret_access_key="wrong")
    client.refused("ListKeys", "InvalidSignatureException", credentials=wrong)


def test_an_access_key_that_is_not_known_or_gone_is_refused(client, accounts, administrator, key):
    client.refused("DescribeKey", "UnrecognizedClientException", credentials=Credentials("AKIANONE", "x"), KeyId=key)
    client("DescribeKey", KeyId=key)
    accounts.remove(administrator.access_key_id)
    client.refused("DescribeKey", "UnrecognizedClientException", KeyId=key)


def test_a_session_needs_its_token_and_ends(client, accounts, issuer, key):
    session = issuer.issue("arn:aws:iam::111122223333:role/x", 60)
    client("DescribeKey", credentials=session, KeyId=key)
    for token in (None, "other"):
        bad = dataclasses.replace(session, session_token=token)
        client.refused("DescribeKey", "UnrecognizedClientException", credentials=bad, KeyId=key)
    with accounts.lock:
        session.expires_s = time.time() - 1
    client.refused("DescribeKey", "ExpiredTokenException", credentials=session, KeyId=key)


@pytest.mark.parametrize("skew_s", SKEWS_S)
def test_a_clock_that_is_six_minutes_off_is_refused(client, kms, key, skew_s):
    kms.control({"skew_s": skew_s})
    refused = client.refused("DescribeKey", "InvalidSignatureException", KeyId=key)
    assert ("not yet current" if skew_s < 0 else "Signature expired") in refused.message
    kms.control({"skew_s": skew_s * 4 / 6})
    client("DescribeKey", KeyId=key)


def raw(url, headers, body=b"{}", method="POST"):
    """(status, headers, body) of a request as it is written here."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=5)
    try:
        connection.request(method, parts.path or "/", body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def signed(kms, credentials, body=b"{}", service="kms", **headers):
    head = {"X-Amz-Target": TARGET + "ListKeys", "Content-Type": AWS_JSON, **headers}
    return sign(credentials, REGION, service, "POST", kms.url + "/", head, body, time.time())


def code_of(answer):
    return json.loads(answer[2])["__type"]


def test_everything_of_amazon_s_must_be_signed(kms, administrator):
    good = signed(kms, administrator)
    assert code_of(raw(kms.url, good)) == "UnknownOperationException"
    assert code_of(raw(kms.url, {**good, "X-Amz-Extra": "1"})) == "InvalidSignatureException"
    assert code_of(raw(kms.url, {**good, "X-Amz-Target": TARGET + "Decrypt"})) == "InvalidSignatureException"
    assert code_of(raw(kms.url, good, b"{ }")) == "InvalidSignatureException"
    assert code_of(raw(kms.url, signed(kms, administrator, service="sts"))) == "InvalidSignatureException"
    unsigned = {name: value for name, value in good.items() if name != "Authorization"}
    assert code_of(raw(kms.url, unsigned)) == "MissingAuthenticationTokenException"


# Connections.


def test_connections_are_kept_and_may_be_cut(kms, administrator):
    connection = http.client.HTTPConnection("127.0.0.1", kms.port, timeout=5)
    for _ in range(5):
        connection.request("POST", "/", b"{}", signed(kms, administrator))
        connection.getresponse().read()
    assert kms.counts["connections"] == 1 and kms.counts["ListKeys"] == 5
    kms.cut()
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        connection.request("POST", "/", b"{}", signed(kms, administrator))
        connection.getresponse()
    connection.close()


def test_a_server_that_was_stopped_comes_back_where_it_was(client, kms, key):
    kms.stop()
    with pytest.raises(Refused) as caught:
        client("DescribeKey", KeyId=key)
    assert caught.value.kind == "EndpointConnectionError"
    kms.start()
    client("DescribeKey", KeyId=key)


@pytest.fixture
def tls(accounts, authority):
    """A double with that certificate."""
    started = []

    def start(name, **details):
        pair = authority.issue(name, **details)
        started.append(KmsDouble(accounts, certificate=pair.certificate, key=pair.key).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_tls_is_good_with_the_authority_and_bad_without(client, tls, authority):
    server = tls("good")
    client.create(url=server.url, ca=str(authority.bundle))
    with pytest.raises(Refused) as caught:
        client.create(url=server.url)
    assert caught.value.kind == "SSLError"


@pytest.mark.parametrize("bad", [{"hosts": ["other.example"]}, {"from_days": -9, "to_days": -1}])
def test_bad_certificates_are_bad(client, tls, authority, bad):
    with pytest.raises(Refused) as caught:
        client.create(url=tls("bad", **bad).url, ca=str(authority.bundle))
    assert caught.value.kind == "SSLError"


# Faults.


@pytest.mark.parametrize("fault", ["500", "503", "throttling", "throttling:0", "close", "reset", "truncated"])
def test_botocore_tries_again_and_succeeds(client, kms, key, fault):
    kms.control({"fault": fault, "times": 2})
    assert client("DescribeKey", KeyId=key, attempts=3)["tries"] == 3
    assert kms.counts["faults"] == 2


def test_a_fault_may_be_of_one_action_or_one_region(client, kms, key):
    other = client.create(region=OTHER_REGION)
    kms.control({"fault": "500", "only": "Decrypt"})
    blob = client("Encrypt", KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    client.refused("Decrypt", "KMSInternalException", CiphertextBlob=blob)
    kms.control({"fault": "500", "only": f"region.{OTHER_REGION}"})
    client("Decrypt", CiphertextBlob=blob)
    client.refused("DescribeKey", "KMSInternalException", region=OTHER_REGION, KeyId=other)


def generate(kms, key, credentials):
    """Of the raw answer to GenerateDataKey: status, headers, body."""
    body = json.dumps({"KeyId": key, "KeySpec": "AES_256"}).encode()
    headers = {"X-Amz-Target": TARGET + "GenerateDataKey", "Content-Type": AWS_JSON}
    signature = sign(credentials, REGION, "kms", "POST", kms.url + "/", headers, body, time.time())
    return raw(kms.url, signature, body)


@pytest.mark.parametrize(
    "fault, broken",
    [
        ("reset", ConnectionResetError),
        ("close", http.client.RemoteDisconnected),
        ("reset_mid_body", (ConnectionResetError, http.client.IncompleteRead)),
        ("truncated", http.client.IncompleteRead),
        ("hang", TimeoutError),
    ],
)
def test_faults_of_the_connection(kms, key, administrator, monkeypatch, fault, broken):
    real = http.client.HTTPConnection
    monkeypatch.setattr(
        http.client, "HTTPConnection", lambda host, port, timeout: real(host, port, timeout=min(timeout, 0.3))
    )
    kms.control({"fault": fault})
    with pytest.raises(broken):
        generate(kms, key, administrator)


def test_slow_and_dripping_answers_come_at_last(kms, key, administrator):
    for fault, least_s in (("slow:0.3", 0.3), ("drip:0.001", 0.1)):
        kms.control({"fault": fault})
        start = time.monotonic()
        status, _, body = generate(kms, key, administrator)
        assert status == 200 and json.loads(body)["KeyId"] == key
        assert time.monotonic() - start >= least_s


def test_an_oversized_answer_has_no_end(kms, key, administrator):
    kms.control({"fault": "oversized"})
    body = json.dumps({"KeyId": key, "KeySpec": "AES_256"}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", kms.port, timeout=5)
    headers = {"X-Amz-Target": TARGET + "GenerateDataKey", "Content-Type": AWS_JSON}
    connection.request(
        "POST", "/", body, sign(administrator, REGION, "kms", "POST", kms.url + "/", headers, body, time.time())
    )
    assert len(connection.getresponse().read(1 << 22)) == 1 << 22
    connection.close()


def test_faults_of_the_answer(kms, key, administrator):
    def answer(fault):
        kms.control({"fault": fault})
        return generate(kms, key, administrator)

    assert answer("500")[0] == 500
    assert answer("503")[0] == 503 and b"<html>" in answer("503")[2]
    assert answer("html_403")[0] == 403
    assert code_of(answer("throttling")) == "ThrottlingException"
    assert answer("throttling")[1]["Retry-After"] is None
    assert answer("throttling:7")[1]["Retry-After"] == "7"
    with pytest.raises(ValueError, match="JSON|delimiter|Expecting|control"):
        json.loads(answer("malformed_json")[2])
    assert json.loads(answer("wrong_key_id")[2])["KeyId"] != key
    short = json.loads(answer("key_31_bytes")[2])
    assert len(base64.b64decode(short["Plaintext"])) == 31
    other = json.loads(answer("wrong_key_bytes")[2])
    assert base64.b64decode(other["Plaintext"]) not in kms.actions.plaintexts
    assert len(base64.b64decode(other["Plaintext"])) == 32


def test_the_date_is_that_of_the_skewed_clock(kms, key, administrator):
    kms.control({"skew_s": 600})
    status, headers, body = generate(kms, key, administrator)
    shown = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
    assert status == 400 and b"Signature expired" in body
    assert abs(shown - time.time() - 600) < 5


def test_an_unknown_order_is_an_error(kms):
    for order in ({"fault": "none-such"}, {"colour": "red"}, {"fault": "500", "times": 0}):
        assert raw(f"{kms.url}/__control", {}, json.dumps(order).encode())[0] == 400


# Credentials.


def test_botocore_takes_credentials_from_imds(botocore, issuer, client, key):
    found = botocore.credentials(
        AWS_EC2_METADATA_SERVICE_ENDPOINT=issuer.url, AWS_EC2_METADATA_DISABLED="false"
    )
    assert found[3] == "iam-role"
    client("DescribeKey", credentials=Credentials(*found[:3]), KeyId=key)
    assert issuer.counts["PUT /latest/api/token"] == 1


def test_imds_wants_a_token(issuer):
    role = "/latest/meta-data/iam/security-credentials/"
    assert raw(issuer.url + role, {}, b"", "GET")[0] == 401
    assert raw(issuer.url + role, {"X-aws-ec2-metadata-token": "x"}, b"", "GET")[0] == 401
    assert raw(issuer.url + "/latest/api/token", {}, b"", "PUT")[0] == 400
    too_long, ttl = ({"X-aws-ec2-metadata-token-ttl-seconds": seconds} for seconds in ("99999", "60"))
    assert raw(issuer.url + "/latest/api/token", too_long, b"", "PUT")[0] == 400
    assert raw(issuer.url + "/latest/api/token", {**ttl, "X-Forwarded-For": "1.2.3.4"}, b"", "PUT")[0] == 403
    _, _, token = raw(issuer.url + "/latest/api/token", ttl, b"", "PUT")
    assert raw(issuer.url + role, {"X-aws-ec2-metadata-token": token.decode()}, b"", "GET")[2] == b"double-role"


def test_botocore_takes_credentials_from_a_container(botocore, issuer, client, key, tmp_path):
    found = botocore.credentials(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{issuer.url}/v2/credentials/task")
    assert found[3] == "container-role"
    client("DescribeKey", credentials=Credentials(*found[:3]), KeyId=key)
    token = tmp_path / "token"
    token.write_text(issuer.authorization)
    at = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{issuer.url}/v1/credentials"}
    assert botocore.credentials(**at, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token))[3] == "container-role"
    with pytest.raises(Refused):
        botocore.credentials(**at, AWS_CONTAINER_AUTHORIZATION_TOKEN="other")


def test_botocore_takes_credentials_by_web_identity(botocore, issuer, client, key, tmp_path):
    token = tmp_path / "token"
    token.write_text(issuer.web_identity_token)
    environment = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": issuer.role_arn,
        "AWS_ENDPOINT_URL_STS": issuer.url,
        "AWS_DEFAULT_REGION": REGION,
    }
    found = botocore.credentials(**environment)
    assert found[3] == "assume-role-with-web-identity"
    client("DescribeKey", credentials=Credentials(*found[:3]), KeyId=key)


def test_botocore_assumes_a_role(botocore, issuer, client, administrator, key):
    def assume(credentials=administrator, **members):
        return botocore.call(issuer.url, credentials, "AssumeRole", service="sts", RoleSessionName="it", **members)

    made = assume(RoleArn=issuer.role_arn, DurationSeconds=900)["Credentials"]
    session = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    client("DescribeKey", credentials=session, KeyId=key)
    assert issuer.assumed[-1]["DurationSeconds"] == "900"
    for code, wrong in (
        ("SignatureDoesNotMatch", {"credentials": dataclasses.replace(administrator, secret_access_key="x")}),
        ("InvalidClientTokenId", {"credentials": Credentials("AKIANONE", "x")}),
        ("AccessDenied", {"ExternalId": "a stranger"}),
        ("AccessDenied", {"RoleArn": issuer.role_arn + "2"}),
        ("ValidationError", {"DurationSeconds": 50000}),
    ):
        with pytest.raises(Refused) as caught:
            assume(**{"RoleArn": issuer.role_arn, **wrong})
        assert caught.value.code == code


# moto, and what stands before it.


def test_moto_checks_signatures_and_is_counted(moto):
    made = moto.kms("GenerateDataKey", KeyId=moto.alias, KeySpec="AES_256")
    assert made["KeyId"] == moto.key_arn
    wrong = dataclasses.replace(moto.credentials, secret_access_key="wrong")
    with pytest.raises(moto_double.MotoError) as caught:
        moto.kms("DescribeKey", credentials=wrong, KeyId=moto.alias)
    assert caught.value.status == 403
    assert (moto.proxy.counts["GenerateDataKey"], moto.proxy.counts["DescribeKey"]) == (1, 1)


def test_moto_may_be_away(moto):
    moto.proxy.refuse()
    with pytest.raises(OSError):
        moto.kms("DescribeKey", KeyId=moto.alias)
    moto.proxy.start()
    moto.kms("DescribeKey", KeyId=moto.alias)


def test_the_doubles_run_as_a_program_too():
    servers = ROOT / "test" / "doubles" / "servers.py"
    started = subprocess.Popen(
        [sys.executable, servers, "--regions", f"{REGION},{OTHER_REGION}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    where = json.loads(started.stdout.readline())
    with urllib.request.urlopen(f"{where['kms_url']}/__counts", timeout=5) as answer:
        assert json.loads(answer.read()) == {}
    credentials = Credentials(where["access_key_id"], where["secret_access_key"])
    kms = type("At", (), {"url": where["kms_url"]})
    made = json.loads(generate(kms, where["key_arn"], credentials)[2])
    with urllib.request.urlopen(f"{where['kms_url']}/__told", timeout=5) as answer:
        assert json.loads(answer.read()) == {"data_keys": [made["Plaintext"]]}
    started.stdin.close()
    assert started.wait(10) == 0
