# SPDX-License-Identifier: Apache-2.0
"""A certificate authority for tests, and certificates good and bad."""
import dataclasses
import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)
HERE = ("127.0.0.1", "localhost")
AWS = ("kms.eu-central-1.amazonaws.com", "kms.eu-west-1.amazonaws.com", "kms.us-east-1.amazonaws.com")


@dataclasses.dataclass
class Pair:
    """Paths of PEM files, as servers take them."""

    certificate: str
    key: str


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Authority:
    """bundle is the path of what a client must trust."""

    def __init__(self, folder, name="kms-envelope test authority"):
        self.folder = pathlib.Path(folder)
        self.name = _name(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.bundle = self.folder / f"{name.replace(' ', '-')}.pem"
        made = self._sign(self.name, self.key.public_key(), -1, 30, x509.BasicConstraints(ca=True, path_length=0))
        self.bundle.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, from_days, to_days, *extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + from_days * DAY)
            .not_valid_after(now + to_days * DAY)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name, hosts=HERE, from_days=-1, to_days=30):
        """A server's certificate; past days make one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        made = self._sign(_name(name), key.public_key(), from_days, to_days, names)
        pair = Pair(str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key"))
        pathlib.Path(pair.certificate).write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pathlib.Path(pair.key).write_bytes(_pem_key(key))
        return pair
