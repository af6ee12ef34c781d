# SPDX-License-Identifier: Apache-2.0
"""Places where AWS credentials are found: fixtures for the stories of them."""
import pytest

from doubles.sigv4 import Credentials

A = "eu-west-1"


@pytest.fixture
def site(aws_site, kms, issuer, administrator):
    """A key that was made, and then no credentials anywhere."""
    aws_site.create_at(kms.store.create(A).arn)
    aws_site.message = aws_site.encrypt(b"anna")
    aws_site.forget()
    aws_site.aws["AWS_REGION"] = A
    aws_site.aws["AWS_ENDPOINT_URL_STS"] = issuer.url
    aws_site.secrets |= {issuer.authorization, issuer.web_identity_token}
    kms.control({"reset_counts": True})
    issuer.control({"reset_counts": True})
    return aws_site


@pytest.fixture
def user(accounts):
    """Permanent credentials of the access key ID that a test gives."""

    def make(access_key_id):
        return accounts.add(Credentials(access_key_id, f"{access_key_id}/secret+0123456789abcdef"))

    return make


class Files:
    """~/.aws of the site's user."""

    def __init__(self, site):
        self.folder = site.home / ".aws"
        self.folder.mkdir()

    def _write(self, name, sections):
        lines = []
        for section, pairs in sections.items():
            lines += [f"[{section}]", *(f"{key} = {value}" for key, value in pairs.items())]
        (self.folder / name).write_text("\n".join(lines) + "\n")

    def credentials(self, **sections):
        self._write("credentials", sections)

    def config(self, sections):
        self._write("config", sections)


@pytest.fixture
def files(site):
    return Files(site)


def keys_of(credentials):
    pairs = {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key,
    }
    if credentials.session_token:
        pairs["aws_session_token"] = credentials.session_token
    return pairs


# Those that stand for a while, from a server.


@pytest.fixture
def identity(site, issuer):
    file = site.folder / "identity-token"
    file.write_text(issuer.web_identity_token + "\n")
    site.aws["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(file)
    site.aws["AWS_ROLE_ARN"] = issuer.role_arn
    return file


@pytest.fixture
def container(site, issuer):
    """EKS Pod Identity, with a token in a file."""
    file = site.folder / "container-token"
    file.write_text(issuer.authorization)
    site.aws["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{issuer.url}/v1/credentials"
    site.aws["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(file)
    return file


@pytest.fixture
def instance(site, issuer):
    site.aws["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = issuer.url
    del site.aws["AWS_EC2_METADATA_DISABLED"]
