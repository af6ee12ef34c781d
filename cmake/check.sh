#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what is missing, build every way, and run every test:
#     sh cmake/check.sh [STEP... | --matrix]
# One line a step; the first that fails shows its output and ends the run.
# Logs are in build/check/. With names of steps, only those run; --matrix is
# what the releases of OpenSSL take.
set -eu

cd "$(dirname "$0")/.."
. cmake/packages.sh

logs=$PWD/build/check
[ "$*" != --matrix ] || set -- install build-release matrix
wanted=" $* "
number=0
start=$(date +%s)
# Whole-tree layout depends on the release of clang-format; this one decides.
format_release=14

# step NAME COMMAND...: run it with its output in a log.
step()
{
    name=$1
    shift
    case $wanted in
    '  ' | *" $name "*) ;;
    *) return 0 ;;
    esac
    number=$((number + 1))
    log=$logs/$(printf %02d "$number")-$name.log
    began=$(date +%s)
    [ ! -t 1 ] || printf '   ...  %s\r' "$name"
    if ! "$@" >"$log" 2>&1 </dev/null; then
        printf 'FAILED  %-18s %4d s\n' "$name" "$(($(date +%s) - began))"
        tail -n 300 "$log"
        echo "check: FAILED at $name after $(($(date +%s) - start)) s" \
            "(log: ${log#"$PWD"/})"
        exit 1
    fi
    printf '    ok  %-18s %4d s  %s\n' "$name" "$(($(date +%s) - began))" \
        "$(summary "$log")"
}

# The line of a log that says how much was run.
summary()
{
    grep -hE '^[0-9]+% tests passed|^=+ .*passed|^.*passed in |^(skipped|matrix):|states, stored' "$1" \
        | tail -n 1 | tr -d =
}

format()
{
    release=$(clang-format --version | sed 's/.*version \([0-9]*\).*/\1/')
    if [ "$release" != "$format_release" ]; then
        echo "skipped: clang-format $format_release decides, this is $release"
        return 0
    fi
    find include provider tools examples bench test -name '*.[ch]' -type f \
        -exec clang-format --dry-run -Werror {} +
}

configure_and_build()
{
    preset=$1
    shift
    cmake --preset "$preset" -DKMSE_BUILD_TESTS=ON "$@" \
        && cmake --build --preset "$preset"
}

# Manual pages, scripts, whole-tree rules.
lint()
{
    sh cmake/lint.sh build/release/kms-envelope.so \
        && shellcheck cmake/*.sh docs/model/*.sh .ci/run \
        && mandoc -T lint -W warning docs/man/*.[1-8]
}

run_tests()
{
    ctest --preset "$1" --no-tests=error --timeout 600 -j "$(nproc)"
}

# The sanitizer wants addresses where it can map its shadow: no ASLR. Where
# that is not allowed, it runs as it is.
run_tsan_tests()
{
    set -- ctest --preset tsan --no-tests=error --timeout 600 -j "$(nproc)"
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        setarch "$(uname -m)" -R "$@"
    else
        "$@"
    fi
}

find_moto()
{
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=test /usr/bin/python3 -c \
        'from doubles import moto; print(*moto.find()); moto.botocore_python()'
}

# moto, an AWS written by others: one that is installed, or one from PyPI in an
# environment of its own. Without it the check fails.
moto()
{
    find_moto && return 0
    rm -rf build/moto
    /usr/bin/python3 -m venv build/moto \
        && build/moto/bin/pip install -q -r test/requirements.txt \
        && find_moto
}

# Stories of deadlines, and of hundreds of processes: one after the other.
alone="test/integration/test_aws_faults.py test/integration/test_guest.py"

# stories ARGUMENT...: pytest, of the release unless KMSE_BUILD says else.
stories()
{
    CI=true PYTHONDONTWRITEBYTECODE=1 \
        /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider "$@"
}

# Much of the time of the others is spent in waiting: a file more at once than
# there are processors.
integration()
{
    ignored=
    for file in $alone; do
        ignored="$ignored --ignore=$file"
    done
    # shellcheck disable=SC2086
    stories -n "$(($(nproc) + 1))" --dist loadfile $ignored test/integration
}

integration_alone()
{
    # shellcheck disable=SC2086
    stories $alone
}

# Where a KMS is in trouble, programs end in the middle of it, threads meet, and
# what others send is taken apart. The guests' hundred runs were the release's.
sanitized_integration()
{
    # shellcheck disable=SC2086
    KMSE_BUILD=$PWD/build/$1 KMSE_GUEST_RUNS=36 stories $alone \
        && KMSE_BUILD=$PWD/build/$1 stories -n "$(nproc)" --dist loadfile \
            test/integration/test_agent.py \
            test/integration/test_agent_life.py test/integration/test_revoke.py \
            test/integration/test_retire.py
}

# The releases of OpenSSL from 3.0 on: those that must be there, and those that
# the mirror may have lost.
matrix()
{
    sh cmake/matrix.sh
}

quickstart()
{
    KMSE_ROWS=20000 sh cmake/quickstart.sh
}

# A staged installation has each file where it belongs.
staged_install()
{
    rm -rf build/stage
    DESTDIR=$PWD/build/stage cmake --install build/release --prefix /usr
    modules=$(openssl version -m | sed 's/^MODULESDIR: "\(.*\)"$/\1/')
    for file in "$modules/kms-envelope.so" /usr/bin/kms-envelope \
        /usr/share/man/man1/kms-envelope.1 \
        /usr/share/man/man5/kms-envelope-keyfile.5 \
        /usr/share/man/man7/EVP_CIPHER-KMS-ENVELOPE.7 \
        /usr/share/man/man7/EVP_PKEY-KMS-ENVELOPE.7 \
        /usr/share/man/man7/OSSL_PROVIDER-kms-envelope.7 \
        /usr/include/kms_envelope/format.h \
        /usr/share/doc/kms-envelope/openssl.cnf.example; do
        [ -f "build/stage$file" ] || {
            echo "not installed: $file"
            return 1
        }
    done
}

mkdir -p "$logs"
rm -f "$logs"/*.log
step install kmse_need build demo test
step format format
step build-release configure_and_build release
step build-clang configure_and_build clang
step lint lint
step test-release run_tests release
step model sh docs/model/check.sh
step moto moto
step nodes sh cmake/nodes.sh
step integration integration
step integration-alone integration_alone
step matrix matrix
step build-asan configure_and_build asan
step test-asan run_tests asan
step integration-asan sanitized_integration asan
step build-tsan configure_and_build tsan
step test-tsan run_tsan_tests
step integration-tsan sanitized_integration tsan
step quickstart quickstart
step stage staged_install
echo "check: all $number steps passed in $(($(date +%s) - start)) s"
