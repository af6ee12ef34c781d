# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 server on loopback that counts, keeps alive, and can be faulty."""
import collections
import email.utils
import http.server
import json
import socket
import ssl
import threading

from doubles import faults
from doubles.messages import Answer, Clock, Request, json_answer

BODY_MAX = 1 << 20
IDLE_S = 120


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S
    counted = False
    reset = False

    def setup(self):
        # The handshake is done here, by this connection's own thread.
        tls = self.server.double.tls
        self.request.settimeout(IDLE_S)
        if tls is not None:
            self.request = tls.wrap_socket(self.request, server_side=True)
        self.server.double.opened(self.request)
        super().setup()

    def finish(self):
        try:
            super().finish()
        finally:
            self.server.double.closed(self.request)
            faults.close(self.request, self.reset)

    def log_message(self, *_):
        pass

    def answer(self):
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > BODY_MAX or "Transfer-Encoding" in self.headers:
            return self.send(Answer(413))
        body = self.rfile.read(int(length))
        request = Request(self.command, self.path, list(self.headers.items()), body)
        double = self.server.double
        if not request.path.startswith("/__"):
            double.count("connections", not self.counted)
            self.counted = True
        return double.serve(request, self)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

    def head(self, answer, length, shown_s=None):
        """Status line and headers as bytes; length None: chunked."""
        when = self.server.double.clock.shown_s() if shown_s is None else shown_s
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('Unknown',))[0]}"]
        lines.append(f"Date: {email.utils.formatdate(when, usegmt=True)}")
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def send(self, answer, shown_s=None):
        body = b"" if self.command == "HEAD" else answer.body
        self.wfile.write(self.head(answer, len(answer.body), shown_s) + body)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # a client that goes away, or does not trust us, is no news

    def shutdown_request(self, request):
        faults.close(request)


class HttpDouble:
    """Subclasses give answer(request) -> Answer and what they count."""

    def __init__(self, clock=None, certificate=None, key=None):
        self.clock = clock or Clock()
        self.tls = None
        if certificate is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate, key)
        self.stopping = threading.Event()
        self.lock = threading.Lock()  # guards what follows
        self.counts = collections.Counter()
        self.faults = faults.Faults(self)
        self.sockets = set()
        self.server = None
        self.port = 0

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        """On a port that the system chooses; after stop() on the same one."""
        self.stopping.clear()
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.double = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        """From now on connections are refused; those open are cut."""
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.cut()

    def cut(self, but=None):
        """Connections that are open end, as those do that were idle too long."""
        with self.lock:
            left = self.sockets - {but}
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def opened(self, connection):
        with self.lock:
            self.sockets.add(connection)

    def closed(self, connection):
        with self.lock:
            self.sockets.discard(connection)

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] += by

    # What is the same for every double.

    def serve(self, request, handler):
        if request.path == "/__counts":
            with self.lock:
                return handler.send(json_answer(dict(self.counts)))
        if request.path == "/__told":
            return handler.send(json_answer(self.told()))
        if request.path == "/__control":
            return handler.send(self._control(request, handler.connection))
        kinds = self.kinds_of(request)
        for kind in kinds:
            self.count(kind)
        return self.faults.answer(request, handler, kinds)

    def kinds_of(self, request):
        """What a request is counted as, before anything of it is believed."""
        return (self.name_of(request),)

    def name_of(self, request):
        return f"{request.method} {request.path}"

    def answer(self, request):
        raise NotImplementedError

    def told(self):
        """Secrets of the double, for tests that search for them."""
        return {}

    def _control(self, request, connection):
        try:
            orders = json.loads(request.body)
            if orders.pop("cut", False):
                self.cut(but=connection)
            self.control(orders)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, 400)
        if orders:
            return json_answer({"error": f"unknown: {sorted(orders)}"}, 400)
        return json_answer({})

    def control(self, orders):
        """Takes out of orders what it knows."""
        if "fault" in orders:
            self.faults.set(orders)
        if "advance_s" in orders:
            self.clock.advance_s += float(orders.pop("advance_s"))
        if "skew_s" in orders:
            self.clock.skew_s = float(orders.pop("skew_s"))
        if orders.pop("reset_counts", False):
            with self.lock:
                self.counts.clear()

    def reset(self):
        """Counts anew, and no fault."""
        self.control({"fault": None, "reset_counts": True})
