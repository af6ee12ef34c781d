# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Sourced by quickstart.sh and check.sh: kmse_need GROUP... installs what is
# missing of the groups build, demo and test, with apt-get or dnf.
#
# A line a need: group, probe, Debian's and Ubuntu's package, Fedora's package.
# What answers its probe is there already, whoever installed it. Probes:
#   cmd:NAME   a program      pc:NAME   a library's pkg-config file
#   py:NAME    a module of /usr/bin/python3
#   perl:NAME  a module of perl    lua:NAME  a module of lua5.4
#   so:NAME    a library gcc finds     file:PATH   a file     gem:NAME   of ruby
#   glob:PATTERN  a file of such a name
# A dash: Fedora has none, and there it is not needed.
kmse_needs='
build cmd:gcc            gcc                  gcc
build so:crt1.o          libc6-dev            glibc-devel
build cmd:cmake          cmake                cmake
build cmd:ninja          ninja-build          ninja-build
build cmd:pkg-config     pkg-config           pkgconf-pkg-config
build pc:libcrypto       libssl-dev           openssl-devel
build pc:libcjson        libcjson-dev         cjson-devel
build pc:libcurl         libcurl4-openssl-dev libcurl-devel
build pc:expat           libexpat1-dev        expat-devel
build pc:libevent_extra  libevent-dev         libevent-devel
build cmd:openssl        openssl              openssl
build pc:sqlite3         libsqlite3-dev       sqlite-devel
build pc:libpq           libpq-dev            libpq-devel
build pc:libmariadb      libmariadb-dev       mariadb-connector-c-devel
demo  cmd:sqlite3        sqlite3              sqlite
test  cmd:git            git                  git-core
test  cmd:clang          clang                clang
test  cmd:clang-format   clang-format         clang-tools-extra
test  so:libasan.so      gcc                  libasan
test  so:libubsan.so     gcc                  libubsan
test  so:libtsan.so      gcc                  libtsan
test  so:libcurl-gnutls.so.4 libcurl3-gnutls -
test  pc:cmocka          libcmocka-dev        libcmocka-devel
test  file:/usr/bin/python3 python3           python3
test  py:pytest          python3-pytest       python3-pytest
test  py:xdist           python3-pytest-xdist python3-pytest-xdist
test  py:ensurepip       python3-venv         python3
test  py:cryptography    python3-cryptography python3-cryptography
test  file:/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring -
test  cmd:php            php-cli              php-cli
test  glob:/usr/sbin/php-fpm* php-fpm        php-fpm
test  glob:/usr/lib*/*/modules/mod_proxy_fcgi.so apache2-bin httpd
test  glob:/usr/lib*/*/modules/libphp*.so libapache2-mod-php -
test  cmd:ruby           ruby                 ruby
test  gem:openssl        ruby                 rubygem-openssl
test  cmd:node           nodejs               nodejs
test  perl:Net::SSLeay   libnet-ssleay-perl   -
test  perl:CryptX        libcryptx-perl       -
test  perl:FFI::Platypus libffi-platypus-perl -
test  py:M2Crypto        python3-m2crypto     -
test  cmd:lua5.4         lua5.4               -
test  lua:openssl        lua-luaossl          -
test  cmd:escript        erlang-base          -
test  glob:/usr/lib/erlang/lib/crypto-* erlang-crypto -
test  file:/usr/sbin/nginx nginx              -
test  glob:/usr/lib/apache2/modules/mod_ssl.so apache2-bin -
test  cmd:curl           curl                 curl
test  cmd:ssh            openssh-client       -
test  file:/usr/sbin/sshd openssh-server      -
test  cmd:psql           postgresql           -
test  cmd:mariadbd       mariadb-server       -
test  cmd:sqlcipher      sqlcipher            -
test  py:psycopg2        python3-psycopg2     python3-psycopg2
test  py:pymysql         python3-pymysql      python3-PyMySQL
test  cmd:valgrind       valgrind             valgrind
test  cmd:gdb            gdb                  gdb
test  cmd:nm             binutils             binutils
test  cmd:setarch        util-linux           util-linux
test  cmd:setpriv        util-linux           util-linux
test  cmd:systemd-analyze systemd             systemd
test  cmd:mandoc         mandoc               mandoc
test  cmd:shellcheck     shellcheck           ShellCheck
test  cmd:spin           spin                 -
'

kmse_probe()
{
    case $1 in
    cmd:*) command -v "${1#*:}" >/dev/null 2>&1 ;;
    pc:*) pkg-config --exists "${1#*:}" >/dev/null 2>&1 ;;
    perl:*) perl -e "require ${1#*:}" >/dev/null 2>&1 ;;
    lua:*) lua5.4 -l "${1#*:}" -e '' >/dev/null 2>&1 ;;
    py:*) /usr/bin/python3 -c "import ${1#*:}" >/dev/null 2>&1 ;;
    file:*) [ -e "${1#*:}" ] ;;
    glob:*)
        # Unquoted, for the shell to look.
        # shellcheck disable=SC2086
        ls -d ${1#*:} >/dev/null 2>&1
        ;;
    gem:*) ruby -r"${1#*:}" -e 0 >/dev/null 2>&1 ;;
    # gcc prints the bare name of a file it does not find.
    so:*) case $(gcc -print-file-name="${1#*:}" 2>/dev/null) in
        */*) true ;;
        *) false ;;
        esac ;;
    esac
}

# kmse_missing FIELD GROUP...: that field of each need that is not met.
kmse_missing()
{
    kmse_field=$1
    shift
    echo "$kmse_needs" | while read -r group probe debian fedora; do
        case " $* " in
        *" ${group:-none} "*) ;;
        *) continue ;;
        esac
        kmse_probe "$probe" && continue
        [ "$fedora" != - ] || command -v apt-get >/dev/null 2>&1 || continue
        case $kmse_field in
        debian) echo "$debian" ;;
        fedora) echo "$fedora" ;;
        *) echo "${probe#*:}" ;;
        esac
    done | sort -u | tr '\n' ' '
}

kmse_as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "This must be installed as root, and there is no sudo:" >&2
        echo "    $*" >&2
        return 1
    fi
}

# Debian starts a service as soon as it is installed, if nobody says no, and at
# each boot. The tests start their own: while the command runs, somebody says no,
# and what it has enabled is disabled again.
# It is a script for another shell.
# shellcheck disable=SC2016
kmse_without_services='
enabled()
{
    find /etc/systemd/system -type l 2>/dev/null
}
before=$(enabled)
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap "rm -f $policy" EXIT
    trap "exit 1" HUP INT TERM
    printf "#!/bin/sh\nexit 101\n" >"$policy"
    chmod +x "$policy"
fi
code=0
"$@" || code=$?
enabled | grep -Fxv -e "$before" | xargs -r rm -f
exit "$code"'

kmse_apt_get()
{
    kmse_as_root env DEBIAN_FRONTEND=noninteractive \
        sh -c "$kmse_without_services" sh apt-get -qq -y \
        -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# Package lists may be missing or old: try without an update first.
kmse_install_debian()
{
    echo "installing: $*"
    kmse_apt_get install --no-install-recommends "$@" >/dev/null 2>&1 \
        && return 0
    kmse_apt_get update >/dev/null \
        && kmse_apt_get install --no-install-recommends "$@" >/dev/null
}

kmse_install_fedora()
{
    echo "installing: $*"
    kmse_as_root dnf -q -y --setopt=install_weak_deps=False install "$@" \
        </dev/null >/dev/null
}

kmse_need()
{
    [ -n "$(kmse_missing probe "$@")" ] || return 0
    # The names are a list: words are what we want of it.
    # shellcheck disable=SC2046
    if command -v apt-get >/dev/null 2>&1; then
        kmse_install_debian $(kmse_missing debian "$@") || return 1
    elif command -v dnf >/dev/null 2>&1; then
        kmse_install_fedora $(kmse_missing fedora "$@") || return 1
    fi
    kmse_left=$(kmse_missing probe "$@")
    [ -z "$kmse_left" ] && return 0
    echo "missing, please install: $kmse_left" >&2
    return 1
}
