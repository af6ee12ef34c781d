# SPDX-License-Identifier: Apache-2.0
"""A clock that tests move, and requests and answers of HTTP."""
import dataclasses
import json
import time

AWS_JSON = "application/x-amz-json-1.1"
HTML = b"<html><head><title>%s</title></head><body><h1>%s</h1></body></html>"


class Clock:
    """The machine's clock, moved: tests do not wait."""

    def __init__(self):
        self.advance_s = 0
        self.skew_s = 0

    def now_s(self):
        """By which things expire."""
        return time.time() + self.advance_s

    def shown_s(self):
        """Of the Date header and the check of signatures."""
        return self.now_s() + self.skew_s


@dataclasses.dataclass
class Request:
    method: str
    target: str
    headers: list
    body: bytes
    shown_s: float = 0.0
    words: dict = dataclasses.field(default_factory=dict)

    @property
    def path(self):
        return self.target.partition("?")[0]

    def header(self, wanted, default=None):
        for name, value in self.headers:
            if name.lower() == wanted.lower():
                return value
        return default


@dataclasses.dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)


def json_answer(value, status=200):
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def html_answer(status, words, **headers):
    return Answer(status, HTML % (words, words), {"Content-Type": "text/html", **headers})


def aws_error(code, message, status=400, spelling="message", **headers):
    """KMS spells Message in both ways, and leaves out one that is empty."""
    members = {"__type": code, spelling: message} if message else {"__type": code}
    return Answer(status, json.dumps(members).encode(), {"Content-Type": AWS_JSON, **headers})
