# SPDX-License-Identifier: Apache-2.0
"""Run a command where the name server is silent: python3 silent_names.py COMMAND...

In namespaces of its own: loopback is all there is of a network, and nobody
answers on its port 53. Code 77: that is not allowed here.
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile

UP = 0x1
SET_FLAGS = 0x8914  # SIOCSIFFLAGS
NOT_ALLOWED = 77


def bring_loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))


def main():
    if os.environ.get("KMSE_IN_NAMESPACE") is None:
        os.environ["KMSE_IN_NAMESPACE"] = "1"
        probe = subprocess.run(("unshare", "-rmn", "true"), capture_output=True, check=False)
        if probe.returncode != 0:
            sys.exit(NOT_ALLOWED)
        os.execvp("unshare", ("unshare", "-rmn", sys.executable, *sys.argv))
    bring_loopback_up()
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 53))
    with tempfile.NamedTemporaryFile("w") as names:
        names.write("nameserver 127.0.0.1\n")
        names.flush()
        subprocess.run(("mount", "--bind", names.name, "/etc/resolv.conf"), check=True)
        sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)


if __name__ == "__main__":
    main()
