# SPDX-License-Identifier: Apache-2.0
"""The actions of AWS KMS that kms_server.py answers. No I/O here."""
import base64
import binascii
import json
import os
import re

from doubles.kms_keys import KmsError

PLAINTEXT_MAX = 4096
BLOB_MAX = 6144
ALGORITHM = "SYMMETRIC_DEFAULT"
SPEC_BYTES = {"AES_256": 32, "AES_128": 16}
ALIAS_NAME = re.compile(r"alias/(?!aws/)[A-Za-z0-9/_-]{1,250}")
DAYS_MIN, DAYS_MAX = 7, 30


def invalid(why):
    return KmsError("ValidationException", why)


def a_string(name, value):
    if not isinstance(value, str) or not 1 <= len(value) <= 2048:
        raise invalid(f"{name} must be a string of 1 to 2048 characters")
    return value


def a_text(name, value):
    if not isinstance(value, str) or len(value) > 8192:
        raise invalid(f"{name} must be a string")
    return value


def a_bool(name, value):
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false")
    return value


def an_int(name, value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"{name} must be a whole number")
    return value


def a_list(name, value):
    if not isinstance(value, list):
        raise invalid(f"{name} must be a list")
    return value


def a_context(name, value):
    if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
        raise invalid(f"{name} must be a map of strings")
    return value


def an_algorithm(name, value):
    if value != ALGORITHM:
        raise KmsError("InvalidKeyUsageException", f"{name} {value!r} is not for this key")
    return value


def bytes_up_to(limit):
    def check(name, value):
        if not isinstance(value, str):
            raise invalid(f"{name} must be base64")
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise KmsError("SerializationException", f"{name} is no base64") from None
        if not 1 <= len(data) <= limit:
            raise invalid(f"{name} must have 1 to {limit} bytes")
        return data

    return check


KEY = {"KeyId": a_string}
CONTEXT = {"EncryptionContext": a_context, "GrantTokens": a_list, "DryRun": a_bool}
GENERATE = {"KeySpec": a_string, "NumberOfBytes": an_int, **CONTEXT}
ALIAS = {"AliasName": a_string, "TargetKeyId": a_string}
TAGS = {"Description": a_text, "Policy": a_text, "Tags": a_list, "BypassPolicyLockoutSafetyCheck": a_bool}
BLOB = {"CiphertextBlob": bytes_up_to(BLOB_MAX)}

# Of each action, what it must have and what it may have.
MEMBERS = {
    "CreateKey": ({}, {"MultiRegion": a_bool, "KeyUsage": a_string, "KeySpec": a_string, **TAGS}),
    "DescribeKey": (KEY, {"GrantTokens": a_list}),
    "GenerateDataKey": (KEY, GENERATE),
    "GenerateDataKeyWithoutPlaintext": (KEY, GENERATE),
    "Encrypt": (
        {**KEY, "Plaintext": bytes_up_to(PLAINTEXT_MAX)},
        {"EncryptionAlgorithm": an_algorithm, **CONTEXT},
    ),
    "Decrypt": (BLOB, {**KEY, "EncryptionAlgorithm": an_algorithm, **CONTEXT}),
    "ReEncrypt": (
        {**BLOB, "DestinationKeyId": a_string},
        {
            "SourceKeyId": a_string,
            "SourceEncryptionContext": a_context,
            "SourceEncryptionAlgorithm": an_algorithm,
            "DestinationEncryptionContext": a_context,
            "DestinationEncryptionAlgorithm": an_algorithm,
            "GrantTokens": a_list,
            "DryRun": a_bool,
        },
    ),
    "CreateAlias": (ALIAS, {}),
    "UpdateAlias": (ALIAS, {}),
    "EnableKey": (KEY, {}),
    "DisableKey": (KEY, {}),
    "ScheduleKeyDeletion": (KEY, {"PendingWindowInDays": an_int}),
    "CancelKeyDeletion": (KEY, {}),
    "RotateKeyOnDemand": (KEY, {}),
    "ReplicateKey": ({**KEY, "ReplicaRegion": a_string}, TAGS),
}


def once(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise KmsError("SerializationException", "a member is given twice")
    return members


def parse(action, body):
    """The checked members of a request; bytes in place of base64."""
    try:
        given = json.loads(body.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise KmsError("SerializationException", "the body is no JSON") from None
    if not isinstance(given, dict):
        raise KmsError("SerializationException", "the body is no object")
    needed, allowed = MEMBERS[action]
    known = {**needed, **allowed}
    for name in given:
        if name not in known:
            raise invalid(f"{action} has no member {name}")
    for name in needed:
        if name not in given:
            raise invalid(f"1 validation error detected: Value null at '{name}' must not be null")
    return {name: known[name](name, value) for name, value in given.items()}


def base64_of(data):
    return base64.b64encode(data).decode()


class Actions:
    """Each method is an action: (Region, members) -> members of the answer."""

    def __init__(self, store):
        self.store = store
        self.plaintexts = set()  # all that was ever wrapped: to be searched for

    def run(self, action, region, body):
        if action not in MEMBERS:
            raise KmsError("UnknownOperationException")
        return getattr(self, action)(region, parse(action, body))

    def _usable(self, region, name):
        key = self.store.find(region, name)
        key.check_usable()
        return key

    @staticmethod
    def _check_dry(members):
        if members.get("DryRun"):
            raise KmsError("DryRunOperationException", "The request would have succeeded.", 412)

    def CreateKey(self, region, members):
        if members.get("KeyUsage", "ENCRYPT_DECRYPT") != "ENCRYPT_DECRYPT":
            raise KmsError("UnsupportedOperationException", "only ENCRYPT_DECRYPT")
        if members.get("KeySpec", ALGORITHM) != ALGORITHM:
            raise KmsError("UnsupportedOperationException", f"only {ALGORITHM}")
        key = self.store.create(region, members.get("MultiRegion", False), members.get("Description", ""))
        return {"KeyMetadata": key.metadata()}

    def DescribeKey(self, region, members):
        return {"KeyMetadata": self.store.find(region, members["KeyId"]).metadata()}

    def GenerateDataKeyWithoutPlaintext(self, region, members):
        answer = self.GenerateDataKey(region, members)
        del answer["Plaintext"]
        return answer

    def GenerateDataKey(self, region, members):
        if ("KeySpec" in members) == ("NumberOfBytes" in members):
            raise invalid("Please specify either number of bytes or key spec.")
        size = members.get("NumberOfBytes", SPEC_BYTES.get(members.get("KeySpec"), 0))
        if not 1 <= size <= 1024:
            raise invalid("KeySpec or NumberOfBytes is out of range")
        key = self._usable(region, members["KeyId"])
        self._check_dry(members)
        data_key = os.urandom(size)
        return {
            "CiphertextBlob": self._seal(key, members.get("EncryptionContext", {}), data_key),
            "Plaintext": base64_of(data_key),
            "KeyId": key.arn,
            "KeyMaterialId": key.material.newest,
        }

    def _seal(self, key, context, plaintext):
        self.plaintexts.add(plaintext)
        return base64_of(key.material.seal(key.key_id, context, plaintext))

    def Encrypt(self, region, members):
        key = self._usable(region, members["KeyId"])
        self._check_dry(members)
        blob = self._seal(key, members.get("EncryptionContext", {}), members["Plaintext"])
        return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": ALGORITHM}

    def _open(self, region, blob, name, context):
        wanted = self._usable(region, name) if name is not None else None
        key = self.store.owner_of(region, blob, wanted)
        key.check_usable()
        plaintext, made_by = key.material.open(blob, context)
        return key, plaintext, made_by

    def Decrypt(self, region, members):
        key, plaintext, made_by = self._open(
            region, members["CiphertextBlob"], members.get("KeyId"), members.get("EncryptionContext", {})
        )
        self._check_dry(members)
        return {
            "KeyId": key.arn,
            "Plaintext": base64_of(plaintext),
            "EncryptionAlgorithm": ALGORITHM,
            "KeyMaterialId": made_by,
        }

    def ReEncrypt(self, region, members):
        target = self._usable(region, members["DestinationKeyId"])
        source, plaintext, made_by = self._open(
            region, members["CiphertextBlob"], members.get("SourceKeyId"), members.get("SourceEncryptionContext", {})
        )
        self._check_dry(members)
        return {
            "CiphertextBlob": self._seal(target, members.get("DestinationEncryptionContext", {}), plaintext),
            "SourceKeyId": source.arn,
            "KeyId": target.arn,
            "SourceEncryptionAlgorithm": ALGORITHM,
            "DestinationEncryptionAlgorithm": ALGORITHM,
            "SourceKeyMaterialId": made_by,
            "DestinationKeyMaterialId": target.material.newest,
        }

    def _alias(self, region, members):
        if not ALIAS_NAME.fullmatch(members["AliasName"]):
            raise KmsError("InvalidAliasNameException", 'Alias must start with the prefix "alias/".')
        if re.match(r"(arn:[^/]*:)?alias/", members["TargetKeyId"]):
            raise invalid("Aliases must refer to keys. Not aliases")
        return (region, members["AliasName"]), self.store.find(region, members["TargetKeyId"])

    def CreateAlias(self, region, members):
        place, key = self._alias(region, members)
        if place in self.store.aliases:
            raise KmsError("AlreadyExistsException", f"An alias with the name {place[1]} already exists")
        key.check_not_pending()
        self.store.aliases[place] = key.key_id

    def UpdateAlias(self, region, members):
        place, key = self._alias(region, members)
        if place not in self.store.aliases:
            raise KmsError("NotFoundException", f"Alias {place[1]} is not found.")
        key.check_not_pending()
        self.store.aliases[place] = key.key_id

    def EnableKey(self, region, members):
        key = self.store.find(region, members["KeyId"])
        key.check_not_pending()
        key.state = "Enabled"

    def DisableKey(self, region, members):
        key = self.store.find(region, members["KeyId"])
        key.check_not_pending()
        key.state = "Disabled"

    def ScheduleKeyDeletion(self, region, members):
        days = members.get("PendingWindowInDays", DAYS_MAX)
        if not DAYS_MIN <= days <= DAYS_MAX:
            raise invalid(f"PendingWindowInDays must be {DAYS_MIN} to {DAYS_MAX}")
        key = self.store.find(region, members["KeyId"])
        self.store.schedule_deletion(key, days)
        answer = {"KeyId": key.arn, "KeyState": key.state, "PendingWindowInDays": days}
        if key.deletion_s is not None:
            answer["DeletionDate"] = key.deletion_s
        return answer

    def CancelKeyDeletion(self, region, members):
        key = self.store.find(region, members["KeyId"])
        if not key.state.startswith("Pending"):
            raise KmsError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
        key.state, key.deletion_s = "Disabled", None
        return {"KeyId": key.arn}

    def RotateKeyOnDemand(self, region, members):
        key = self._usable(region, members["KeyId"])
        if not key.is_primary:
            raise KmsError("UnsupportedOperationException", f"{key.arn} is a replica: rotate its primary key.")
        key.material.rotate()
        return {"KeyId": key.key_id}

    def ReplicateKey(self, region, members):
        key = self._usable(region, members["KeyId"])
        replica = self.store.replicate(key, members["ReplicaRegion"], members.get("Description", ""))
        return {"ReplicaKeyMetadata": replica.metadata(), "ReplicaPolicy": "", "ReplicaTags": []}
