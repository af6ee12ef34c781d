#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build kms-envelope and run its main job:
#     sh cmake/quickstart.sh [--master-key URI]
# A table of encrypted e-mail addresses, a rotated key, new rows, every row
# read back; then a file with "openssl enc". Everything is made under build/.
# URI: aws-kms:<key ARN, alias or id>, with AWS credentials where AWS's own
# tools find them; a file of master keys in build/ if not given.
# KMSE_ROWS: how many rows (1000000).
set -eu

cd "$(dirname "$0")/.."
. cmake/packages.sh

rows=${KMSE_ROWS:-1000000}
key=customer-emails
release=$PWD/build/release
demo=$PWD/build/quickstart
master_key=local:$demo/master-key

say()
{
    printf '\n== %s\n' "$*"
}

die()
{
    echo "quickstart: $*" >&2
    exit 1
}

build()
{
    # Tests need more packages. A tree that is configured stays as it is.
    [ -e "$release/CMakeCache.txt" ] \
        || cmake --preset release -DKMSE_BUILD_TESTS=OFF >/dev/null
    cmake --build --preset release
    [ -x "$release/examples/emails" ] || {
        cmake --preset release >/dev/null
        cmake --build --preset release
    }
}

make_key()
{
    rm -rf "$demo"
    mkdir -p "$demo/keys"
    chmod 700 "$demo" "$demo/keys"
    cat >"$demo/openssl.cnf" <<EOF
openssl_conf = init
[init]
providers = providers
[providers]
default = default_section
kms-envelope = kms_envelope_section
[default_section]
activate = 1
[kms_envelope_section]
module = $release/kms-envelope.so
activate = 1
keys = $demo/keys
default-key = $key
EOF
    "$release/kms-envelope" create "$key" --keys "$demo/keys" \
        --master-key "$master_key"
}

# The program that fills the table stays alive while the key is rotated.
encrypt_rows()
{
    OPENSSL_CONF=$demo/openssl.cnf "$release/examples/emails" \
        --after-fill "'$release/kms-envelope' rotate $key --keys '$demo/keys'" \
        --count kms-envelope:kms-calls \
        "$demo/emails.db" "$rows" KMS-ENVELOPE "$key" >"$demo/emails.out"
}

rows_by_version()
{
    sqlite3 -separator ' ' "$demo/emails.db" \
        'SELECT hex(substr(email, 1, 4)), count(*) FROM users
         GROUP BY 1 ORDER BY 1'
}

# "openssl enc" wants the name as hex digits; -K 0 would be the default key.
enc()
{
    OPENSSL_CONF=$demo/openssl.cnf openssl enc -kms-envelope \
        -K "$(printf %s "$key" | od -An -v -tx1 | tr -d ' \n')" "$@" \
        2>"$demo/enc.err" || {
        cat "$demo/enc.err" >&2
        die "openssl enc failed"
    }
}

encrypt_file_before()
{
    enc -in README.md -out "$demo/file.kmse"
}

decrypt_file_after()
{
    enc -d -in "$demo/file.kmse" -out "$demo/file"
    cmp README.md "$demo/file" || die "the file is not what it was"
}

check_result()
{
    [ "$(rows_by_version)" = "4B000001 $rows
4B000002 $(((rows + 9) / 10))" ] || die "not the rows that were expected"
    [ "$(sed -n 's/^kms-calls //p' "$demo/emails.out")" = 2 ] \
        || die "not two KMS calls"
}

report()
{
    sed -n 's/^\([a-z-]*\) \([0-9]*\) rows, \([0-9]*\) rows.s$/\1 \2 \3/p' \
        "$demo/emails.out" | while read -r phase count rate; do
        printf '%-14s %8d rows %9d rows/s\n' "$phase" "$count" "$rate"
    done
    rows_by_version | while read -r tag count; do
        printf 'version %-6d %8d rows            tag %s\n' \
            "0x${tag#??}" "$count" "$tag"
    done
    sed -n 's/^kms-calls \(.*\)/KMS calls      \1, by the program, for all these rows/p' "$demo/emails.out"
    printf 'file           openssl enc before the rotation, -d after: the same\n'
    printf 'time           %d s, of it %d s to install and build\n' \
        "$(($(date +%s) - start))" "$((built - start))"
}

case $#:${1-} in
0:) ;;
2:--master-key) master_key=$2 ;;
*) die "usage: sh cmake/quickstart.sh [--master-key URI]" ;;
esac

start=$(date +%s)
say "install what is missing"
kmse_need build demo
say "build"
build
built=$(date +%s)
say "make the key $key, version 1"
make_key
encrypt_file_before
echo "openssl enc: README.md is encrypted, as build/quickstart/file.kmse"
say "encrypt $rows e-mail addresses, rotate, encrypt more, read all back"
encrypt_rows
say "decrypt the file, which is of version 1, with openssl enc -d"
decrypt_file_after
"$release/kms-envelope" inspect "$demo/file.kmse" 2>/dev/null
"$release/kms-envelope" status "$key" --keys "$demo/keys"
say "done: everything written under version 1 and 2 was read back right"
check_result
report
echo "Look around in ${demo#"$PWD"/}: openssl.cnf, keys/$key.json, emails.db"
