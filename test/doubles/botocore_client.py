# SPDX-License-Identifier: Apache-2.0
"""botocore as a client that others wrote, driven over a pipe.

Run as a program by a Python that has botocore (moto.botocore_python()): a line
of JSON in, a line of JSON out. Elsewhere: what starts and asks that program.
"""
import base64
import json
import os
import subprocess
import sys
import time

BYTES = ("Plaintext", "CiphertextBlob")


class Refused(Exception):
    """What botocore made of an error answer, or of none."""

    def __init__(self, kind, code, message, tries):
        super().__init__(f"{kind} {code}: {message}")
        self.kind, self.code, self.message, self.tries = kind, code, message, tries


class Botocore:
    """A client for a double; each call a new one of botocore's."""

    def __init__(self, python, folder):
        # Nothing of the machine's own AWS settings.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {"HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true"}
        self.process = subprocess.Popen(
            [python, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def _ask(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "refused" in answer:
            raise Refused(*answer["refused"])
        return answer

    def call(self, url, credentials, action, region="eu-west-1", service="kms", ca=None, attempts=1, **members):
        """One action: its members, bytes as bytes; how often it was tried is
        "tries" of the answer."""
        key = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        sent = {name: _packed(name, value) for name, value in members.items()}
        answer = self._ask(
            url=url, key=key, action=action, region=region, service=service, ca=ca, attempts=attempts, members=sent
        )
        return {name: _unpacked(name, value) for name, value in answer.items()}

    def credentials(self, **environment):
        """(access key id, secret, token, method) that botocore finds there."""
        return self._ask(environment=environment)["credentials"]

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


def _packed(name, value):
    return base64.b64encode(value).decode() if name in BYTES else value


def _unpacked(name, value):
    return base64.b64decode(value) if name in BYTES else value


# What runs in the other Python.


def _call(session, config, order):
    client = session.create_client(
        order["service"],
        region_name=order["region"],
        endpoint_url=order["url"],
        aws_access_key_id=order["key"][0],
        aws_secret_access_key=order["key"][1],
        aws_session_token=order["key"][2],
        verify=order["ca"],
        config=config(
            retries={"total_max_attempts": order["attempts"], "mode": "standard"}, connect_timeout=2, read_timeout=2
        ),
    )
    methods = {action: method for method, action in client.meta.method_to_api_mapping.items()}
    members = {name: _unpacked(name, value) for name, value in order["members"].items()}
    answer = getattr(client, methods[order["action"]])(**members)
    tries = answer.pop("ResponseMetadata")["RetryAttempts"] + 1
    return {**{name: _packed(name, value) for name, value in answer.items()}, "tries": tries}


def _credentials(session, environment):
    os.environ.update(environment)
    try:
        found = session.get_credentials()
        if found is None:
            return {"credentials": None}
        frozen = found.get_frozen_credentials()
        return {"credentials": [frozen.access_key, frozen.secret_key, frozen.token, found.method]}
    finally:
        for name in environment:
            del os.environ[name]
        os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def _serve():
    # It waits before it tries again; how often it tries is what is looked at.
    time.sleep = lambda seconds: None
    # Only the Python that runs this file has botocore.
    import botocore.config
    import botocore.exceptions
    import botocore.session

    shared = botocore.session.Session()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "environment" in order:
                answer = _credentials(botocore.session.Session(), order["environment"])
            else:
                answer = _call(shared, botocore.config.Config, order)
        except botocore.exceptions.ClientError as error:
            said = error.response["Error"]
            tries = error.response["ResponseMetadata"].get("RetryAttempts", 0) + 1
            answer = {"refused": [type(error).__name__, said.get("Code"), said.get("Message", ""), tries]}
        except botocore.exceptions.BotoCoreError as error:
            answer = {"refused": [type(error).__name__, "", str(error), 0]}
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    _serve()
