# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way from a server to its client, on demand.

POST /__control {"fault": NAME, "times": N, "only": WHAT}; without times until
{"fault": null}; only: requests of that kind, as they are counted ("Decrypt",
"region.eu-west-1"). "slow:N" and "drip:N" take seconds, and "throttling:N" for
Retry-After; "redirect:URL" takes a URL.
"""
import base64
import json
import os
import select
import socket
import ssl
import struct
import threading
import time

from doubles.messages import aws_error, html_answer

HOUR_S = 3600
HANG_MAX_S = 120
ENDLESS_MAX = 1 << 30
PIECE = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
OTHER_KEY = "00000000-0000-4000-8000-000000000000"
RESET = struct.pack("ii", 1, 0)


def close(connection, reset=False):
    try:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        elif not isinstance(connection, ssl.SSLSocket):
            connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    connection.close()


class Faults:
    def __init__(self, double):
        self.double = double
        self.lock = threading.Lock()  # guards what follows
        self.name = None
        self.argument = ""
        self.times = None
        self.only = None

    def set(self, orders):
        name, _, argument = (orders["fault"] or "").partition(":")
        if name and not hasattr(self, "do_" + name):
            raise ValueError(f"no fault {name!r}")
        times = orders.get("times")
        if times is not None and (not isinstance(times, int) or times < 1):
            raise ValueError("times is 1 or more")
        if name in ("slow", "drip", "throttling") and argument:
            float(argument)
        with self.lock:
            self.name, self.argument = name or None, argument
            self.times, self.only = times, orders.get("only")
        for word in ("fault", "times", "only"):
            orders.pop(word, None)

    def _take(self, kinds):
        """The fault that this request meets, and its argument."""
        with self.lock:
            if self.name is None or self.only not in (None, *kinds):
                return None, ""
            name, argument = self.name, self.argument
            if self.times is not None:
                self.times -= 1
                if self.times == 0:
                    self.name = None
        self.double.count("faults")
        return name, argument

    def answer(self, request, handler, kinds):
        request.shown_s = self.double.clock.shown_s()
        name, argument = self._take(kinds)
        if name is None:
            return handler.send(self.double.answer(request), request.shown_s)
        return getattr(self, "do_" + name)(request, handler, argument)

    # The connection.

    def _gone(self, handler, seconds):
        """Wait that long; True at once when the client has gone."""
        until = time.monotonic() + seconds
        while not self.double.stopping.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return False
            if select.select([handler.connection], [], [], min(left, 0.1))[0]:
                return True
        return True

    @staticmethod
    def _end(handler, reset=False):
        handler.close_connection = True
        handler.reset = reset

    def do_hang(self, request, handler, _):
        self._gone(handler, HANG_MAX_S)
        self._end(handler)

    def do_reset(self, request, handler, _):
        self._end(handler, reset=True)

    def do_close(self, request, handler, _):
        self._end(handler)

    def _send_half(self, request, handler):
        answer = self.double.answer(request)
        half = answer.body[: len(answer.body) // 2]
        handler.wfile.write(handler.head(answer, len(answer.body)) + half)
        # What is not read yet may be lost in a reset.
        time.sleep(0.05)

    def do_reset_mid_body(self, request, handler, _):
        self._send_half(request, handler)
        self._end(handler, reset=True)

    def do_truncated(self, request, handler, _):
        self._send_half(request, handler)
        self._end(handler)

    def do_drip(self, request, handler, argument):
        answer = self.double.answer(request)
        handler.wfile.write(handler.head(answer, len(answer.body)))
        for byte in answer.body[:-1]:
            handler.wfile.write(bytes([byte]))
            if self._gone(handler, float(argument or 1)):
                return self._end(handler)
        handler.wfile.write(answer.body[-1:])

    def do_slow(self, request, handler, argument):
        if self._gone(handler, float(argument or 1)):
            return self._end(handler)
        handler.send(self.double.answer(request), request.shown_s)

    def do_oversized(self, request, handler, _):
        answer = self.double.answer(request)
        handler.wfile.write(handler.head(answer, None))
        for _ in range(ENDLESS_MAX // len(PIECE)):
            if self.double.stopping.is_set():
                break
            handler.wfile.write(PIECE)
        self._end(handler)

    # The answer.

    def do_500(self, request, handler, _):
        handler.send(aws_error("KMSInternalException", "An internal error occurred.", 500))

    def do_503(self, request, handler, _):
        handler.send(html_answer(503, b"503 Service Temporarily Unavailable"))

    def do_throttling(self, request, handler, argument):
        after = {"Retry-After": argument} if argument else {}
        handler.send(aws_error("ThrottlingException", "Rate exceeded", **after))

    def do_html_403(self, request, handler, _):
        handler.send(html_answer(403, b"403 Forbidden"))

    def do_redirect(self, request, handler, argument):
        location = argument or self.double.trap_url()
        handler.send(html_answer(302, b"302 Found", Location=location))

    def do_malformed_json(self, request, handler, _):
        answer = self.double.answer(request)
        answer.body = answer.body.rstrip()[:-1] + b',,"'
        handler.send(answer)

    def _changed(self, request, handler, change):
        answer = self.double.answer(request)
        try:
            members = json.loads(answer.body)
        except ValueError:
            members = None
        if answer.status == 200 and isinstance(members, dict):
            change(members)
            answer.body = json.dumps(members).encode()
        handler.send(answer)

    def do_wrong_key_id(self, request, handler, _):
        def change(members):
            for data, name in ((members, "KeyId"), (members.get("KeyMetadata", {}), "Arn")):
                if name in data:
                    data[name] = data[name].rpartition("/")[0] + "/" + OTHER_KEY

        self._changed(request, handler, change)

    def do_wrong_key_bytes(self, request, handler, _):
        def change(members):
            if "Plaintext" in members:
                members["Plaintext"] = base64.b64encode(os.urandom(32)).decode()

        self._changed(request, handler, change)

    def do_key_31_bytes(self, request, handler, _):
        def change(members):
            if "Plaintext" in members:
                members["Plaintext"] = base64.b64encode(base64.b64decode(members["Plaintext"])[:31]).decode()

        self._changed(request, handler, change)

    def do_skew(self, request, handler, _):
        request.shown_s += HOUR_S
        handler.send(self.double.answer(request), request.shown_s)
