# SPDX-License-Identifier: Apache-2.0
"""Servers that say what they were asked: python3 echo.py FOLDER

With no TLS, with good certificates, and with bad ones, whose files go into the
folder. Prints a line "NAME VALUE" for each thing to know, and an empty one.
Ends when its standard input is closed.
"""
import pathlib
import sys

if __name__ == "__main__":
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from doubles.certificates import AWS, Authority
from doubles.connect_proxy import ConnectProxy
from doubles.http_double import HttpDouble
from doubles.messages import Answer

OLD = {"from_days": -20, "to_days": -10}
ENDLESS_MAX = 1 << 16


class Echo(HttpDouble):
    """The target says more: /status/N, /size/N, /chunked, /headers, ..."""

    proxy = None

    def serve(self, request, handler):
        if request.path == "/continue":
            early = b"HTTP/1.1 100 Continue\r\nRetry-After: 7\r\n\r\n"
            handler.wfile.write(early * 3 + handler.head(Answer(200), 0))
        elif request.path == "/endless-head":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(ENDLESS_MAX):
                handler.wfile.write(b"X-%d: %s\r\n" % (number, b"x" * 90))
        elif request.path == "/old":
            handler.close_connection = True
            handler.wfile.write(b"what HTTP/0.9 is, no more and no less\n")
        elif request.path == "/chunked":
            handler.wfile.write(handler.head(Answer(200), None) + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        elif request.path == "/last":
            handler.close_connection = True  # which the answer does not say
            super().serve(request, handler)
        else:
            super().serve(request, handler)

    def answer(self, request):
        word, _, rest = request.path[1:].partition("/")
        if word == "status":
            return Answer(int(rest), b"status")
        if word == "size":
            return Answer(200, b"x" * int(rest))
        if word == "headers":
            named = {"Retry-After": " 3 ", "x-amzn-RequestId": "1-2-3", "X-Long": "x" * 200}
            return Answer(200, b"", named)
        if word == "proxy-heads":
            return Answer(200, b"".join(self.proxy.heads))
        lines = [f"{request.method} {request.target}"]
        lines += [f"{name.lower()}: {value}" for name, value in request.headers]
        return Answer(200, "\n".join(lines).encode() + b"\n\n" + request.body)


def start(folder):
    authority = Authority(folder)
    other = Authority(folder, "another authority")
    certificates = {
        "good": authority.issue("good"),
        "other": other.issue("other"),
        "elsewhere": authority.issue("elsewhere", AWS),
        "expired": authority.issue("expired", **OLD),
    }
    plain = Echo().start()
    urls = {"plain": plain.url}
    for name, pair in certificates.items():
        urls[name] = Echo(certificate=pair.certificate, key=pair.key).start().url
    good_port = int(urls["good"].rpartition(":")[2])
    elsewhere_port = int(urls["elsewhere"].rpartition(":")[2])
    routes = {f"127.0.0.1:{good_port}": good_port, f"{AWS[0]}:443": elsewhere_port}
    Echo.proxy = ConnectProxy(routes)
    return {
        **urls,
        "proxy": Echo.proxy.url,
        "bundle": authority.bundle,
        "other-bundle": other.bundle,
    }


def main():
    for name, value in start(sys.argv[1]).items():
        print(name, value)
    print(flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
