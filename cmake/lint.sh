#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the compiler does not check: sh cmake/lint.sh [MODULE]
# Banned calls, includes across layers, headers that do not compile alone,
# files that grew too long, and, of a built module, its exported symbols.
set -eu

cd "$(dirname "$0")/.."
max_lines=600
found=$(mktemp)
trap 'rm -f "$found"' EXIT

sources()
{
    find "$@" -name '*.[ch]' -type f | sort
}

# Code without its comments, lines kept where they are.
code()
{
    gcc -fpreprocessed -dD -E "$1" 2>/dev/null | awk -v file="$1" '
        /^# [0-9]+ "/ { if ($3 == "\"" file "\"") { line = $2 - 1 } next }
        { line++; print file ":" line ": " $0 }'
}

# ban WHY PATTERN FILE...: no line of code in the files matches.
ban()
{
    why=$1
    pattern=$2
    shift 2
    for file in "$@"; do
        code "$file" | grep -E "^[^ ]* (.*[^A-Za-z0-9_])?($pattern)" \
            | sed "s/\$/    <- $why/" || true
    done >>"$found"
}

call()
{
    echo "($1)[[:space:]]*\("
}

# Word splitting makes the list of files: no name in the tree has a space.
# shellcheck disable=SC2046
banned_calls()
{
    ban 'unbounded or unsafe' \
        "$(call 'strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|strtok|alloca')" \
        $(sources include provider tools examples bench)
    ban 'a library does not end its host' "$(call 'abort|exit|_exit|assert')" \
        $(sources include provider tools)
    ban 'a provider does not print' \
        "$(call 'printf|vprintf|puts|perror|putchar')|stdout|stderr" \
        $(sources include provider)
    ban 'the environment is read in config alone' \
        "$(call 'getenv|secure_getenv')" \
        $(sources include provider | grep -v -e '/glue/config' -e _environment)
    ban 'CRYPTO_memcmp, for secrets' \
        'memcmp[[:space:]]*\([^;]*(secret|data_key|tag|->mac)' \
        $(sources include provider)
}

# layer FOLDER PATTERN: no file there includes what matches.
layer()
{
    grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include \"($2)" \
        "provider/$1" | sed "s/\$/    <- not for layer $1/" >>"$found" || true
}

layers()
{
    layer base '(envelope|kms|keyring|glue)/'
    layer envelope '(kms|keyring|glue)/'
    layer kms '(envelope|keyring|glue)/'
    layer keyring '(glue/|kms/([^k]|k[^m]|km[^s]|kms[^.]))'
    grep -rnE --include='*.[ch]' \
        '^[[:space:]]*#[[:space:]]*include "(provider|kms_envelope|base|kms)' \
        examples | sed 's/$/    <- examples know only EVP/' >>"$found" || true
}

# shellcheck disable=SC2046
headers_alone()
{
    flags=$(pkg-config --cflags libcrypto libcjson)
    # Databases are optional: their headers are looked at where they are.
    flags="$flags $(pkg-config --cflags libmariadb libpq sqlite3 2>/dev/null || true)"
    for header in $(sources include provider tools test | grep '\.h$'); do
        # The flags are a list.
        # shellcheck disable=SC2086
        echo "#include \"$header\"" | gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra \
            -Werror -fsyntax-only -I. -Iinclude -Iprovider -Itools -Itest \
            $flags -x c - >>"$found" 2>&1 \
            || echo "$header: does not compile alone" >>"$found"
    done
}

long_files()
{
    sources include provider tools examples bench test | while read -r file; do
        lines=$(wc -l <"$file")
        [ "$lines" -le "$max_lines" ] \
            || echo "$file: $lines lines, more than $max_lines"
    done >>"$found"
}

licence_lines()
{
    find include provider tools examples bench test cmake .ci CMakeLists.txt \
        -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \
        -o -name '*.cmake' -o -name CMakeLists.txt -o -path .ci/run \) \
        -size +0 | sort | while read -r file; do
        head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' \
            || echo "$file: no SPDX line"
    done >>"$found"
}

exports()
{
    symbols=$(nm -D --defined-only "$1" | awk '{ print $NF }' | tr '\n' ' ')
    [ "$symbols" = 'OSSL_provider_init ' ] \
        || echo "$1: exports $symbols" >>"$found"
}

banned_calls
layers
headers_alone
long_files
licence_lines
[ $# -eq 0 ] || exports "$1"

if [ -s "$found" ]; then
    cat "$found"
    exit 1
fi
echo "lint: nothing found"
