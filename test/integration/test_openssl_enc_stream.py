# SPDX-License-Identifier: Apache-2.0
"""A user encrypts backups with the unmodified openssl command, and what comes
out of openssl enc -d is verified, to the byte, whatever happened on the way.
"""
import hashlib
import os
import threading

import pytest

from conftest import TOOL

pytestmark = pytest.mark.matrix

FRAME, FIRST, NEXT, HEADER, TAG = 4096, 4068, 4084, 16, 12
SIZES = [0, 1, 31, 32, 33, FIRST - 1, FIRST, FIRST + 1, 4096, FIRST + NEXT - 1, FIRST + NEXT, 8192, 8193, 1 << 20]
BACKUP = hashlib.shake_256(b"a backup").digest(FIRST + 4 * NEXT + 100)  # five frames and a short one
MEBIBYTE = 1 << 20


def enc(*options, key="emails"):
    return ["openssl", "enc", *options, "-kms-envelope-stream", "-K", key.encode().hex()]


def overhead(size):
    frames = 1 if size < FIRST else 2 + (size - FIRST) // NEXT
    return HEADER + frames * TAG


def released(frames):
    """How much plaintext is in so many whole frames."""
    return 0 if frames == 0 else FIRST + (frames - 1) * NEXT


@pytest.fixture
def backup(site):
    return site.ok(*enc(), input=BACKUP)


def refused(site, stream, frames, words, *options):
    """All of the whole frames before the bad one came out, and nothing else.

    OpenSSL 4 asks for two frames at once: then the one before the bad one may
    go with it.
    """
    done = site.run(*enc("-d", *options), input=stream)
    assert done.returncode == 1
    right = [frames, frames // 2 * 2] if site.ok("openssl", "version") >= b"OpenSSL 4" else [frames]
    assert done.stdout in [BACKUP[: released(count)] for count in right]
    assert words in done.stderr.decode()


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back(site, size):
    plaintext = bytes(i * 7 & 0xFF for i in range(size))
    stream = site.ok(*enc(), input=plaintext)
    assert len(stream) == size + overhead(size)
    assert stream[:4] == b"\xd3\0\0\1"
    assert site.ok(*enc("-d"), input=stream) == plaintext


def test_files_and_pipes_are_the_same(site):
    plain, stream, back = (site.folder / name for name in ("backup", "backup.kmse", "back"))
    plain.write_bytes(BACKUP)
    site.ok(*enc("-in", plain, "-out", stream))
    site.ok(*enc("-d", "-in", stream, "-out", back))
    assert back.read_bytes() == BACKUP
    assert site.ok(*enc("-d"), input=stream.read_bytes()) == BACKUP


@pytest.mark.parametrize("bufsize", [None, "1", "17", "4096", "8192", "10000", "65536", "1048576"])
@pytest.mark.parametrize("base64", [[], ["-a"], ["-a", "-A"]])
def test_base64_and_any_buffer_size_when_writing(site, bufsize, base64):
    more = ["-bufsize", bufsize] if bufsize else []
    stream = site.ok(*enc(*base64, *more), input=BACKUP)
    assert site.ok(*enc("-d", *base64), input=stream) == BACKUP


@pytest.mark.parametrize("bufsize", ["4096", "8192", "16384", "65536", "1048576"])
def test_whole_frames_when_reading(site, backup, bufsize):
    assert site.ok(*enc("-d", "-bufsize", bufsize), input=backup) == BACKUP


@pytest.mark.parametrize(("bufsize", "frames"), [("1", 0), ("100", 0), ("1000", 0), ("4095", 0), ("4097", 1), ("6000", 1)])
def test_other_buffer_sizes_are_refused_and_the_error_says_so(site, backup, bufsize, frames):
    refused(site, backup, frames, "without -bufsize", "-bufsize", bufsize)


def test_a_field_comes_back_in_any_pieces(site):
    stream = site.ok(*enc(), input=b"anna@example.org")
    for bufsize in ("1", "2", "15", "16", "17", "43", "44", "45"):
        assert site.ok(*enc("-d", "-bufsize", bufsize), input=stream) == b"anna@example.org"


def test_a_stream_cut_at_any_frame_is_refused(site, backup):
    for frames in range(1, 6):
        refused(site, backup[: frames * FRAME], frames, "the message is truncated")
        refused(site, backup[: frames * FRAME + TAG - 1], frames, "the message is truncated")
        refused(site, backup[: frames * FRAME + TAG], frames, "was changed")
        refused(site, backup[: frames * FRAME - 1], frames - 1, "was changed")
    refused(site, backup[:-1], 5, "was changed")
    refused(site, b"", 0, "the message is truncated")
    refused(site, backup[:HEADER], 0, "the message is truncated")


def test_a_flipped_bit_lets_nothing_of_its_frame_out(site, backup):
    for at in (4, HEADER, FRAME - TAG - 1, FRAME - 1, FRAME, 3 * FRAME + 1000, 5 * FRAME, len(backup) - 1):
        bad = bytearray(backup)
        bad[at] ^= 0x10
        refused(site, bytes(bad), at // FRAME, f"version 1, frame {at // FRAME};")


def test_frames_in_another_order_are_refused(site, backup):
    frames = [backup[at : at + FRAME] for at in range(0, len(backup), FRAME)]
    other = site.ok(*enc(), input=BACKUP)
    for bad, right in (
        ([0, 2, 1, 3, 4, 5], 1),
        ([0, 1, 1, 2, 3, 4, 5], 2),
        ([0, 1, 3, 4, 5], 2),
        ([0, 1, 2, 3, 5], 4),
        ([1, 2, 3, 4, 5], 0),
    ):
        stream = b"".join(frames[i] for i in bad)
        words = "was changed" if right else "format"
        refused(site, stream, right, words)
    for frame in range(1, 6):
        spliced = backup[: frame * FRAME] + other[frame * FRAME :]
        refused(site, spliced, frame, "was changed")
    refused(site, backup + other, 5, "was changed")


def test_another_key_opens_nothing(site, backup):
    site.create("orders")
    done = site.run(*enc("-d", key="orders"), input=backup)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "key orders, version 1, frame 0" in done.stderr.decode()
    error = site.fails(*enc("-d", key="nobody"), input=backup)
    assert "nobody" in error


def test_after_a_rotation_old_backups_open_and_a_revoked_one_does_not(site, backup):
    site.rotate()
    assert site.ok(*enc(), input=BACKUP)[:4] == b"\xd3\0\0\2"
    assert site.ok(*enc("-d"), input=backup) == BACKUP
    site.tool("revoke", "emails", "--keys", site.keys, "--version", "1", "--yes")
    refused(site, backup, 0, "the key version is revoked")


def test_each_cipher_names_the_other(site, backup):
    error = site.fails("openssl", "enc", "-d", "-kms-envelope", "-K", "0", input=backup)
    assert "decrypt it with the cipher KMS-ENVELOPE-STREAM" in error
    refused(site, site.encrypt(b"anna" * 2000), 0, "decrypt it with the cipher KMS-ENVELOPE\n")


# Memory.


def peak_kib(process):
    """The most memory it had so far."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def pump(blocks, process, peaks):
    """Its input; and what it needed, at the last moment that it is sure to be there."""
    for block in blocks:
        process.stdin.write(block)
    process.stdin.flush()
    peaks[process] = peak_kib(process)
    process.stdin.close()


def there_and_back(site, block, times):
    """A pipe of two openssl enc: their peaks, of the one that writes and of the one that reads."""
    writer, reader, peaks = site.start(*enc()), site.start(*enc("-d")), {}
    between = iter(lambda: writer.stdout.read(MEBIBYTE), b"")
    pumps = [
        threading.Thread(target=pump, args=((block for _ in range(times)), writer, peaks)),
        threading.Thread(target=pump, args=(between, reader, peaks)),
    ]
    for thread in pumps:
        thread.start()
    came_back = hashlib.sha256()
    for piece in iter(lambda: reader.stdout.read(MEBIBYTE), b""):
        came_back.update(piece)
    for thread in pumps:
        thread.join()
    went = hashlib.sha256()
    for _ in range(times):
        went.update(block)
    assert came_back.digest() == went.digest()
    assert (writer.wait(), reader.wait()) == (0, 0)
    return peaks[writer], peaks[reader]


def test_a_long_pipe_needs_no_more_memory_than_a_short_one(site):
    """KMSE_STREAM_MIB=4096 for the real thing: half a minute."""
    mebibytes = int(os.environ.get("KMSE_STREAM_MIB", "64"))
    block = hashlib.shake_256(b"block").digest(MEBIBYTE)
    short = there_and_back(site, block, 1)
    long = there_and_back(site, block, mebibytes)
    assert all(b < a + 1024 for a, b in zip(short, long)), (short, long)


def test_inspect_tells_what_a_stream_is(site, backup):
    file = site.folder / "backup.kmse"
    file.write_bytes(backup)
    assert f"plaintext    {len(BACKUP)} bytes\n" in site.tool("inspect", file)
    file.write_bytes(backup[: 3 * FRAME])
    assert "its end is lost" in site.fails(TOOL, "inspect", file)
