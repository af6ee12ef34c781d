# SPDX-License-Identifier: Apache-2.0
"""How Debian's MariaDB is made and started in a folder, on a socket."""
import shutil


def program(name):
    """Of the system; servers are in sbin."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found, f"{name} is not installed: sh cmake/check.sh install"
    return found


def install_words(data):
    return (
        program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db",
        "--auth-root-authentication-method=normal", "--innodb-flush-method=nosync",
    )  # fmt: skip


def server_words(data, socket, *more):
    return (
        program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking",
        f"--pid-file={data}/m.pid", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=16M",
        "--innodb-log-file-size=8M", *more,
    )  # fmt: skip
