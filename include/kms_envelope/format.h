/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMS_ENVELOPE_FORMAT_H
#define KMS_ENVELOPE_FORMAT_H

/*
 * The bytes of a KMS-ENVELOPE message, and what is derived from a data key.
 * docs/format.md says the same in prose; test/vectors holds known answers.
 *
 *   bytes 0       format            KMSE_FORMAT_1
 *   bytes 1..3    key version       big endian, 1 .. KMSE_VERSION_MAX
 *   bytes 4..15   nonce             the 96-bit GCM IV (SP 800-38D, 8.2.2)
 *   bytes 16..    ciphertext        as long as the plaintext
 *   last 16       tag               the 128-bit GCM tag
 *
 * The overhead is KMSE_OVERHEAD for every message of every length.
 */
#define KMSE_FORMAT_1     0x4B /* AES-256-GCM */
#define KMSE_HEADER_LEN   16
#define KMSE_NONCE_LEN    12
#define KMSE_TAG_LEN      16
#define KMSE_OVERHEAD     (KMSE_HEADER_LEN + KMSE_TAG_LEN)
#define KMSE_VERSION_MAX  0xFFFFFF
#define KMSE_KEY_ID_LEN   16
#define KMSE_KEY_NAME_MAX 31 /* characters, [a-z0-9._-], first [a-z0-9] */
#define KMSE_DATA_KEY_LEN 32

/*
 * The bytes of a KMS-ENVELOPE-STREAM. It is cut into frames; each has a tag,
 * all but the last have KMSE_STREAM_FRAME_LEN bytes, and the last has fewer.
 *
 *   bytes 0       format            KMSE_FORMAT_STREAM
 *   bytes 1..3    key version       big endian, 1 .. KMSE_VERSION_MAX
 *   bytes 4..15   salt              of the key that all frames are under
 *   then          ciphertext, tag   of frame 0, with the header 4096 bytes
 *   then          ciphertext, tag   of frame 1, 4096 bytes
 *   ...
 *   to the end    ciphertext, tag   of the last frame, at least a tag
 *
 * The GCM IV of frame i is i, as 12 bytes, big endian.
 */
#define KMSE_FORMAT_STREAM     0xD3 /* AES-256-GCM, 96-bit tags */
#define KMSE_STREAM_FRAME_LEN  4096
#define KMSE_STREAM_SALT_LEN   12
#define KMSE_STREAM_TAG_LEN    12
#define KMSE_STREAM_FRAMES_MAX (1ULL << 32)

/* Plaintext bytes of one message at most: SP 800-38D, 5.2.1.1. */
#define KMSE_MESSAGE_MAX ((1ULL << 36) - 32)

/*
 * A KMS-ENVELOPE-SIV message: the same plaintext and AAD make the same bytes.
 *
 *   bytes 0       format            KMSE_FORMAT_SIV
 *   bytes 1..3    key version       as above
 *   bytes 4..19   tag               the synthetic IV (RFC 5297)
 *   bytes 20..    ciphertext        as long as the plaintext
 *
 * The AAD is S2V's one string of associated data.
 */
#define KMSE_FORMAT_SIV   0xC4 /* AES-256-SIV */
#define KMSE_SIV_OVERHEAD 20

/*
 * A KMS-ENVELOPE-INDEX value: the first size bytes of
 *   HMAC-SHA256(key = derived with KMSE_INFO_INDEX, the data)
 * and, where values of several versions are given, an entry for each:
 *   version (4 bytes, big endian) || value
 */
#define KMSE_INDEX_SIZE_MIN     4
#define KMSE_INDEX_SIZE_MAX     32
#define KMSE_INDEX_SIZE_DEFAULT 16
#define KMSE_INDEX_VERSION_LEN  4

/*
 * The AAD that opens every message and every frame, before the application's
 * own: KMSE_AAD_LABEL (12 bytes) || key id (16) || header bytes 0..3 (4)
 */
#define KMSE_AAD_LABEL "kms-envelope"

/*
 * A data key is never used itself. Each use has its own 32-byte key, SIV's of
 * 64 bytes:
 *   HKDF-SHA256(ikm = data key, no salt, info = label || key id || version)
 * with the version as 4 bytes, big endian (RFC 5869).
 */
#define KMSE_INFO_MESSAGE    "kms-envelope/1 message"
#define KMSE_INFO_STREAM     "kms-envelope/1 stream" /* and the salt, last */
#define KMSE_INFO_SIV        "kms-envelope/1 siv"
#define KMSE_INFO_INDEX      "kms-envelope/1 index"
#define KMSE_INFO_COMMITMENT "kms-envelope/1 commitment"
#define KMSE_INFO_KEYFILE    "kms-envelope/1 keyfile"
#define KMSE_INFO_HANDLE     "kms-envelope/1 handle"  /* 16 bytes are used */
#define KMSE_INFO_DROP_IN    "kms-envelope/1 drop-in" /* and the handle, last */

/*
 * A handle: what an application that hard-codes AES-256 has in place of an AES
 * key. It names one version of one key, and AES gets a key that is derived from
 * the handle and the data key together. KMSE_HANDLE_LEN printable bytes:
 *
 *   bytes 0..3    KMSE_HANDLE_MAGIC
 *   bytes 4..31   base64url (RFC 4648, 5), without padding, of
 *                   secret   16 bytes, derived: KMSE_INFO_HANDLE
 *                   check    the first 5 bytes of SHA-256(KMSE_INFO_HANDLE ||
 *                            secret || key id || version)
 *
 * So the key files alone say whose a handle is, and the data key proves it.
 * Random bytes have its form with a chance of 2^-88. The handle is a secret:
 * where nobody puts a key in its place, data is encrypted under its own bytes.
 */
#define KMSE_HANDLE_MAGIC "kmsh"
#define KMSE_HANDLE_LEN   32

#endif
