# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy of which only CONNECT is served, to the hosts that it knows.

So a client can be sent to the real names of AWS, and come out on loopback.
"""
import collections
import socket
import socketserver
import threading

HEAD_MAX = 65536
PIECE = 65536
DIAL_S = 5


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        proxy = self.server.proxy
        target = self._target()
        with proxy.lock:
            proxy.counts[target] += 1
            port = proxy.routes.get(target)
        if port is None:
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port), DIAL_S) as upstream:
            upstream.settimeout(None)
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=self._copy, args=(upstream, self.request), daemon=True).start()
            self._copy(self.request, upstream)

    def _target(self):
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_MAX:
            piece = self.request.recv(PIECE)
            if not piece:
                break
            head += piece
        self.server.proxy.heads.append(head)
        words = head.split(b"\r\n")[0].split()
        return words[1].decode() if words[:1] == [b"CONNECT"] else "not CONNECT"

    @staticmethod
    def _copy(source, target):
        try:
            while piece := source.recv(PIECE):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        pass


class ConnectProxy:
    """routes: {"kms.eu-west-1.amazonaws.com:443": port on loopback}; another
    target is answered 502. counts is by target; heads: what came, as it came."""

    def __init__(self, routes):
        self.lock = threading.Lock()  # guards routes and counts
        self.routes = dict(routes)
        self.counts = collections.Counter()
        self.heads = []
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.proxy = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
