# SPDX-License-Identifier: Apache-2.0
"""KMS keys in memory: material that really changes, states, Regions, blobs."""
import hashlib
import os
import struct
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ACCOUNT = "111122223333"
MAGIC = b"KMSD\x01"
MATERIAL_BYTES = 32
NONCE_BYTES = 12
ROTATIONS_MAX = 25
DAY_S = 86400
NO_SUCH_OWNER = (
    "The ciphertext refers to a customer master key that does not exist, "
    "does not exist in this region, or you are not allowed to access."
)


class KmsError(Exception):
    def __init__(self, code, message="", status=400):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def packed(*parts):
    """Each part after its length: no two lists of parts look the same."""
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def unpacked(data, count):
    """The parts, and what follows them."""
    parts = []
    for _ in range(count):
        if len(data) < 4:
            raise KmsError("InvalidCiphertextException")
        size = struct.unpack(">I", data[:4])[0]
        if size > len(data) - 4:
            raise KmsError("InvalidCiphertextException")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts, data


def bound(context):
    words = [word.encode() for pair in sorted(context.items()) for word in pair]
    return packed(*words)


class Material:
    """Key material in the order it was made; replicas share one Material."""

    def __init__(self):
        self.secrets = {}
        self.newest = None
        self.rotate()

    def rotate(self):
        if len(self.secrets) > ROTATIONS_MAX:
            raise KmsError("LimitExceededException", f"more than {ROTATIONS_MAX} on-demand rotations")
        secret = os.urandom(MATERIAL_BYTES)
        self.newest = hashlib.sha256(b"material" + secret).hexdigest()
        self.secrets[self.newest] = secret

    def seal(self, key_id, context, plaintext):
        head = MAGIC + packed(key_id.encode(), bytes.fromhex(self.newest))
        nonce = os.urandom(NONCE_BYTES)
        box = AESGCM(self.secrets[self.newest])
        return head + nonce + box.encrypt(nonce, plaintext, packed(head, bound(context)))

    def open(self, blob, context):
        """The plaintext, and the id of the material that opened it."""
        (_, made_by), rest = unpacked(blob[len(MAGIC) :], 2)
        secret = self.secrets.get(made_by.hex())
        if secret is None or len(rest) < NONCE_BYTES:
            raise KmsError("InvalidCiphertextException")
        head, nonce = blob[: len(blob) - len(rest)], rest[:NONCE_BYTES]
        try:
            plaintext = AESGCM(secret).decrypt(nonce, rest[NONCE_BYTES:], packed(head, bound(context)))
        except InvalidTag:
            raise KmsError("InvalidCiphertextException") from None
        return plaintext, made_by.hex()


def blob_key_id(blob):
    if not blob.startswith(MAGIC):
        raise KmsError("InvalidCiphertextException")
    (key_id, _), _ = unpacked(blob[len(MAGIC) :], 2)
    return key_id.decode(errors="replace")


def blob_material_id(blob):
    """Of which material a blob says that it was made."""
    (_, made_by), _ = unpacked(blob[len(MAGIC) :], 2)
    return made_by.hex()


class Key:
    """A KMS key in one Region."""

    def __init__(self, region, key_id, material, now_s, description="", account=ACCOUNT):
        self.account = account
        self.region = region
        self.key_id = key_id
        self.material = material
        self.created_s = now_s
        self.description = description
        self.state = "Enabled"
        self.deletion_s = None
        self.window_days = None
        self.family = None  # of a multi-Region key: all of its replicas

    @property
    def arn(self):
        return f"arn:aws:kms:{self.region}:{self.account}:key/{self.key_id}"

    @property
    def is_primary(self):
        return self.family is None or self.family[0] is self

    def check_usable(self):
        if self.state == "Disabled":
            raise KmsError("DisabledException", f"{self.arn} is disabled.")
        self.check_not_pending()

    def check_not_pending(self):
        if self.state == "PendingDeletion":
            raise KmsError("KMSInvalidStateException", f"{self.arn} is pending deletion.")
        if self.state == "PendingReplicaDeletion":
            raise KmsError("KMSInvalidStateException", f"{self.arn} is pending replica deletion.")

    def metadata(self):
        data = {
            "AWSAccountId": self.account,
            "KeyId": self.key_id,
            "Arn": self.arn,
            "CreationDate": self.created_s,
            "Enabled": self.state == "Enabled",
            "Description": self.description,
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": self.state,
            "Origin": "AWS_KMS",
            "KeyManager": "CUSTOMER",
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "MultiRegion": self.family is not None,
            "CurrentKeyMaterialId": self.material.newest,
        }
        if self.deletion_s is not None:
            data["DeletionDate"] = self.deletion_s
        if self.family is not None:
            data["MultiRegionConfiguration"] = self._family_metadata()
        return data

    def _family_metadata(self):
        members = [{"Arn": key.arn, "Region": key.region} for key in self.family]
        kind = "PRIMARY" if self.is_primary else "REPLICA"
        return {"MultiRegionKeyType": kind, "PrimaryKey": members[0], "ReplicaKeys": members[1:]}


class Store:
    """All keys, and the aliases of ACCOUNT; the caller holds its lock."""

    def __init__(self, regions, clock):
        self.regions = regions
        self.clock = clock
        self.keys = {}  # (Region, key id)
        self.aliases = {}  # (Region, alias/name): key id

    def create(self, region, multi_region=False, description="", account=ACCOUNT):
        key_id = "mrk-" + uuid.uuid4().hex if multi_region else str(uuid.uuid4())
        key = Key(region, key_id, Material(), self.clock.now_s(), description, account)
        if multi_region:
            key.family = [key]
        self.keys[region, key_id] = key
        return key

    def replicate(self, key, region, description=""):
        if key.family is None or not key.is_primary:
            raise KmsError("UnsupportedOperationException", f"{key.arn} is not a multi-Region primary key.")
        if region not in self.regions:
            raise KmsError("ValidationException", f"{region} is no Region")
        if (region, key.key_id) in self.keys:
            raise KmsError("AlreadyExistsException", f"{key.key_id} is in {region} already")
        replica = Key(region, key.key_id, key.material, self.clock.now_s(), description, key.account)
        replica.family = key.family
        key.family.append(replica)
        self.keys[region, key.key_id] = replica
        return replica

    def find(self, region, name):
        """By id, ARN, alias or alias ARN, as KMS does; by ARN in any account."""
        account, local = ACCOUNT, name
        if name.startswith("arn:"):
            account, local = self._parts(region, name)
        if local.startswith("alias/"):
            target = self.aliases.get((region, local))
            if target is None:
                arn = f"arn:aws:kms:{region}:{ACCOUNT}:{local}"
                raise KmsError("NotFoundException", f"Alias {arn} is not found.")
            local = target
        self._bury()
        key = self.keys.get((region, local))
        if key is None or key.account != account:
            arn = f"arn:aws:kms:{region}:{account}:key/{local}"
            raise KmsError("NotFoundException", f"Key '{arn}' does not exist")
        return key

    @staticmethod
    def _parts(region, arn):
        """The account, and key id or alias/name."""
        parts = arn.split(":", 5)
        if len(parts) != 6 or parts[:3] != ["arn", "aws", "kms"]:
            raise KmsError("NotFoundException", f"Invalid arn {arn}")
        if parts[3] != region:
            raise KmsError("NotFoundException", f"Invalid arn {parts[3]}")
        kind, _, rest = parts[5].partition("/")
        if kind not in ("key", "alias") or not rest or (kind == "alias" and parts[4] != ACCOUNT):
            raise KmsError("NotFoundException", f"Invalid arn {arn}")
        return parts[4], rest if kind == "key" else parts[5]

    def _bury(self):
        """Keys whose waiting period is over are gone for good."""
        for place, key in list(self.keys.items()):
            if key.deletion_s is not None and key.deletion_s <= self.clock.now_s():
                del self.keys[place]
                if key.family is not None:
                    key.family.remove(key)
                    self._last_replica_went(key.family)

    def _last_replica_went(self, family):
        if len(family) == 1 and family[0].state == "PendingReplicaDeletion":
            family[0].state = "PendingDeletion"
            family[0].deletion_s = self.clock.now_s() + family[0].window_days * DAY_S

    def schedule_deletion(self, key, days):
        key.check_not_pending()
        key.window_days = days
        if key.family is not None and key.is_primary and len(key.family) > 1:
            key.state = "PendingReplicaDeletion"
            return
        key.state = "PendingDeletion"
        key.deletion_s = self.clock.now_s() + days * DAY_S

    def owner_of(self, region, blob, wanted):
        """The key that a blob names; wanted: the key that was asked for, or None."""
        key_id = blob_key_id(blob)
        if wanted is not None and wanted.key_id != key_id:
            why = "The key ID in the request does not identify a CMK that can perform this operation."
            raise KmsError("IncorrectKeyException", why)
        self._bury()
        key = self.keys.get((region, key_id))
        if key is None:
            raise KmsError("AccessDeniedException", NO_SUCH_OWNER)
        return key
