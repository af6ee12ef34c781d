# SPDX-License-Identifier: Apache-2.0
"""Programs of this build, sanitizers and all, that know EVP alone: programs/."""
from conftest import BUILD, TIMEOUT_S

LOOP = BUILD / "test" / "integration" / "evp_loop"
MESSAGE = BUILD / "test" / "integration" / "evp_message"


class Program:
    """One that stays, asked by lines."""

    def __init__(self, site, path, *words, **options):
        self.process = site.start(path, *words, **options)

    def ask(self, line):
        """(whether it worked, what it says)."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        word, _, rest = self.process.stdout.readline().decode().rstrip("\n").partition(" ")
        assert word in ("ok", "error"), f"it ended: {self.process.stderr.read().decode()}"
        return word == "ok", rest

    def ok(self, line):
        worked, said = self.ask(line)
        assert worked, said
        return said

    def fails(self, line):
        worked, said = self.ask(line)
        assert not worked, said
        return said

    def encrypt(self, text="anna"):
        return bytes.fromhex(self.ok(f"encrypt {text}"))

    def decrypt(self, message):
        return self.ok(f"decrypt {message.hex()}")

    def end(self):
        """It must end well: no crash, and no leak where that is looked for."""
        _, error = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0, error.decode()


def once(site, line, name=None, **options):
    """(whether it worked, what it says): a program for one message."""
    done = site.run(LOOP, *([name] if name else []), input=line.encode() + b"\n", **options)
    assert done.returncode == 0, done.stderr.decode()
    word, _, rest = done.stdout.decode().rstrip("\n").partition(" ")
    return word == "ok", rest


def encrypt(site, text="anna", name=None, **options):
    worked, said = once(site, f"encrypt {text}", name, **options)
    assert worked, said
    return bytes.fromhex(said)


def encrypt_fails(site, text="anna", name=None):
    worked, said = once(site, f"encrypt {text}", name)
    assert not worked, said
    return said


def decrypt(site, message, name=None):
    worked, said = once(site, f"decrypt {message.hex()}", name)
    assert worked, said
    return said


def decrypt_fails(site, message, name=None):
    worked, said = once(site, f"decrypt {message.hex()}", name)
    assert not worked, said
    return said
