#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests of the command line and of test/evp in several releases of OpenSSL:
#     sh cmake/matrix.sh [RELEASE...]
# RELEASE: 3.0, 3.5, 3.6 or 4.0; all of them if none is named.
# The machine's own is used as it is. The others are Debian's binary packages
# from the mirror that this machine's apt is configured with, checked with its
# keyring, unpacked under build/matrix/ and run with their own dynamic loader:
# no chroot, no root, nothing installed. What is a day old is fetched anew.
# The module is the one of build/release wherever the soname of libcrypto is
# the same, for one file serves all releases of a major one.
set -eu

cd "$(dirname "$0")/.."

# Release, Debian's suites that may have it, its library, and whether the
# mirror must have it.
table='
3.0 bookworm         libssl3    must
3.5 trixie           libssl3t64 must
3.6 forky            libssl3t64 may
4.0 experimental,sid libssl4    may
'
here=$PWD/build/matrix
release_build=$PWD/build/release
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
report=

say()
{
    printf '== %s\n' "$*"
}

# note WORDS: for the last line, which says how each release went.
note()
{
    report="$report${report:+, }$*"
}

end()
{
    say "$2"
    echo "matrix: OpenSSL $report${report:+, }$2"
    exit "$1"
}

# The mirror of Debian itself among apt's sources, not of its security updates
# or of somebody else. Origin and label are known once there are lists.
find_mirror()
{
    # apt fills these in.
    # shellcheck disable=SC2016
    apt-get indextargets \
        --format '$(COMPONENT) $(RELEASE) $(REPO_URI) $(ORIGIN)/$(LABEL)' \
        | awk -v codename="$1" '
            $1 != "main" || $3 ~ /^cdrom:/ { next }
            NF == 4 && $4 == "Debian/Debian" { print $3; found = 1; exit }
            $2 == codename && guess == "" { guess = $3 }
            END { if (!found) print guess }'
}

# apt with lists, cache and sources of its own, and the machine's settings.
private_apt()
{
    apt=$1
    shift
    apt-get -qq -o Dir::State="$apt" -o Dir::State::status="$apt/status" \
        -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::sourcelist="$apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o Acquire::Retries=2 -o Acquire::http::Timeout=20 \
        -o Acquire::https::Timeout=20 "$@"
}

# Testing and experimental are at times past the date that a mirror should have
# renewed them by; signed they are all the same.
write_sources()
{
    echo "$1" | tr , '\n' | while read -r suite; do
        echo "deb [signed-by=$keyring check-valid-until=no] $mirror $suite main"
    done
}

# fetch FOLDER SUITES LIBRARY: the packages, unpacked in FOLDER/root.
fetch()
{
    rm -rf "$1"
    mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial" "$1/debs" \
        "$1/root"
    : >"$1/apt/status"
    write_sources "$2" >"$1/apt/sources.list"
    private_apt "$1/apt" update --error-on=any || return 1
    (cd "$1/debs" && private_apt "$1/apt" -t "${2%%,*}" download openssl "$3" \
        libssl-dev libc6 libzstd1 zlib1g) || return 1
    for package in "$1"/debs/*.deb; do
        dpkg-deb -x "$package" "$1/root" || return 1
    done
    rm -rf "$1/apt" "$1/debs"
}

# arrange FOLDER: openssl as a command of that release, and its headers in one
# folder, so that none of the machine's own is found in their place.
arrange()
{
    lib=$1/root/usr/lib/$multiarch
    loader=$(find "$lib" -name 'ld-linux*.so.*' | head -n 1)
    [ -x "$loader" ] || return 1
    cp "$1/root/usr/include/$multiarch/openssl"/*.h \
        "$1/root/usr/include/openssl/" || return 1
    mkdir -p "$1/bin"
    cat >"$1/bin/openssl" <<EOF
#!/bin/sh
export OPENSSL_MODULES="\${OPENSSL_MODULES:-$lib/ossl-modules}"
exec "$loader" --library-path "$lib" "$1/root/usr/bin/openssl" "\$@"
EOF
    chmod +x "$1/bin/openssl"
    "$1/bin/openssl" version >"$1/version"
}

# build FOLDER MODULES TARGET...: with that release's headers, for its loader.
# RPATH, and not RUNPATH, for it holds for libraries of libraries, too.
build()
{
    at=$1
    modules=$2
    shift 2
    lib=$at/root/usr/lib/$multiarch
    loader=$(find "$lib" -name 'ld-linux*.so.*' | head -n 1)
    flags="-Wl,--allow-shlib-undefined,--disable-new-dtags"
    cmake -S . -B "$at/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DKMSE_BUILD_TESTS=ON -DKMSE_TEST_MODULES="$modules" \
        -DOPENSSL_INCLUDE_DIR="$at/root/usr/include" \
        -DOPENSSL_CRYPTO_LIBRARY="$lib/libcrypto.so" \
        -DCMAKE_MODULE_LINKER_FLAGS="$flags" \
        -DCMAKE_EXE_LINKER_FLAGS="$flags,--dynamic-linker=$loader,-rpath,$lib" \
        && cmake --build "$at/build" --target "$@"
}

# run_tests RELEASE TREE MODULES PATH CTEST-OPTION...
run_tests()
{
    tested=$1
    tree=$2
    modules=$3
    path=$4
    shift 4
    ctest --test-dir "$tree" --no-tests=error --timeout 300 -j 2 \
        --output-on-failure "$@" \
        && PATH=$path CI=true PYTHONDONTWRITEBYTECODE=1 KMSE_BUILD=$modules \
            KMSE_OPENSSL=$tested /usr/bin/python3 -m pytest -q -rs \
            -p no:cacheprovider -m matrix test/integration
}

own_release()
{
    say "OpenSSL $own, the machine's own"
    run_tests "$1" "$release_build" "$release_build" "$PATH" \
        -R '^evp\.' || end 1 "$own FAILED"
    note "$own"
}

# The module of build/release in that release.
test_module()
{
    build "$at" "$release_build" evp-tests \
        && run_tests "$1" "$at/build" "$release_build" "$at/bin:$PATH" \
            -R '^evp\.'
}

# Everything is of that release, and no other step tests that; valgrind wants
# to know the C library.
test_own_build()
{
    build "$at" "$at/build" all \
        && run_tests "$1" "$at/build" "$at/build" "$at/bin:$PATH" -E '^valgrind'
}

# absent RELEASE MUST WHY
absent()
{
    [ "$2" = may ] || end 1 "$1 is missing and must not be: $3"
    say "OpenSSL $1: $3"
    note "not $1 ($3)"
}

unpacked_release()
{
    at=$here/$1
    if [ -z "$(find "$at/version" -mtime -1 2>/dev/null)" ]; then
        rm -f "$at/version"
        say "OpenSSL $1 from $2"
        { fetch "$at" "$2" "$3" && arrange "$at"; } || {
            absent "$1" "$4" "could not be had from the mirror's $2"
            return 0
        }
    fi
    version=$(cut -d ' ' -f 2 "$at/version")
    case $version in
    "$1".*) ;;
    *)
        rm -f "$at/version"
        absent "$1" "$4" "the mirror's $2 has $version"
        return 0
        ;;
    esac
    say "OpenSSL $version from $2"
    if [ "${1%%.*}" = "${own%%.*}" ]; then
        test_module "$1" || end 1 "$version FAILED"
    else
        test_own_build "$1" || end 1 "$version FAILED"
    fi
    note "$version"
}

# is_older A B
is_older()
{
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

one_release()
{
    case $own in
    "$1".*) own_release "$1" ;;
    *)
        # Its C library is older than the one that the tests are built on.
        if is_older "$1" "$own"; then
            say "OpenSSL $1 is older than the machine's"
            note "not $1 (older than the machine's own $own)"
        else
            unpacked_release "$@"
        fi
        ;;
    esac
}

distribution=$(sed -n 's/^ID=//p' /etc/os-release 2>/dev/null || true)
if [ "$distribution" != debian ] || [ ! -e "$keyring" ]; then
    echo "skipped: the releases of OpenSSL are Debian's packages, and this is" \
        "not a Debian with its keyring"
    exit 0
fi
[ -e "$release_build/kms-envelope.so" ] || {
    echo "matrix: build/release is missing: sh cmake/check.sh build-release"
    exit 1
}

own=$(openssl version | cut -d ' ' -f 2)
multiarch=$(gcc -print-multiarch)
mirror=$(find_mirror "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)")
wanted=" $* "
mkdir -p "$here"
echo "$table" >"$here/table"
while read -r release suites library must; do
    [ -n "$release" ] || continue
    case $wanted in
    '  ' | *" $release "*) one_release "$release" "$suites" "$library" "$must" ;;
    esac
done <"$here/table"
[ -n "$report" ] || end 1 "no such release:$wanted"
echo "matrix: OpenSSL $report"
