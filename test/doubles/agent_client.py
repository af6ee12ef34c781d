# SPDX-License-Identifier: Apache-2.0
"""The provider's side of the agent's socket, as provider/kms/agent_wire.h has it.

Only the standard library: it is also run alone, as another user.
"""
import socket
import struct
import sys

MAGIC = b"KEA\x01"
FETCH, STATUS = 1, 2
ANSWER_MAX = 2048
TIMEOUT_S = 30


def fetch_packet(name, key_id, version, messages=0, octets=0):
    name = name.encode()
    return (
        MAGIC
        + bytes((FETCH, len(name)))
        + key_id
        + struct.pack(">IQQ", version, messages, octets)
        + name
    )


def status_packet():
    return MAGIC + bytes((STATUS,))


class Refused(Exception):
    """reason: a number of base/status.h."""

    def __init__(self, reason, text):
        super().__init__(text)
        self.reason = reason


def connect(path, timeout_s=TIMEOUT_S):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(timeout_s)
    client.connect(str(path))
    return client


def receive(client):
    """One packet's content; b"" if it was closed instead."""
    packet = client.recv(2 * ANSWER_MAX)
    if not packet:
        return b""
    assert packet[:4] == MAGIC and len(packet) <= ANSWER_MAX, packet
    reason = int.from_bytes(packet[5:7], "big")
    if reason:
        raise Refused(reason, packet[9:].decode())
    return packet[7:]


def ask(path, packet):
    with connect(path) as client:
        client.send(packet)
        return receive(client)


def fetch(path, *wanted):
    """(data key, fresh ms, stale ms)."""
    content = ask(path, fetch_packet(*wanted))
    assert len(content) == 48, content
    return content[:32], *struct.unpack(">QQ", content[32:])


def status(path):
    """The agent's numbers as text."""
    text = b""
    with connect(path) as client:
        client.send(status_packet())
        while True:
            content = receive(client)
            assert content, "it was cut off"
            length = int.from_bytes(content[1:3], "big")
            assert len(content) == 3 + length
            text += content[3:]
            if not content[0]:
                return text.decode()


if __name__ == "__main__":
    # agent_client.py SOCKET status | SOCKET fetch NAME ID VERSION
    try:
        if sys.argv[2] == "status":
            print(status(sys.argv[1]), end="")
        else:
            fetch(sys.argv[1], sys.argv[3], bytes.fromhex(sys.argv[4]), int(sys.argv[5]))
            print("lent")
    except Refused as refused:
        print(f"refused {refused.reason}: {refused}")
