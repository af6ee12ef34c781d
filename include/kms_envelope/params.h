/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KMS_ENVELOPE_PARAMS_H
#define KMS_ENVELOPE_PARAMS_H

/*
 * Names of algorithms, parameters and configuration keys.
 * Nothing here is needed to encrypt: an application uses EVP alone.
 */
#define KMSE_PROVIDER_NAME "kms-envelope"

/* EVP_CIPHER: key length 32 (a name, see below), IV length 0, block size 32. */
#define KMSE_CIPHER_NAME        "KMS-ENVELOPE"
#define KMSE_CIPHER_LEGACY_NAME "kms-envelope" /* for EVP_get_cipherbyname */

/* The same for files and pipes: what comes out of it is verified. */
#define KMSE_STREAM_CIPHER_NAME        "KMS-ENVELOPE-STREAM"
#define KMSE_STREAM_CIPHER_LEGACY_NAME "kms-envelope-stream"
/* The same, deterministic: a message is one Update. 20 bytes of overhead. */
#define KMSE_SIV_CIPHER_NAME        "KMS-ENVELOPE-SIV"
#define KMSE_SIV_CIPHER_LEGACY_NAME "kms-envelope-siv"

/*
 * EVP_MAC: a blind index. Its key is a key's name; padding is not needed.
 *   size          size_t       set: bytes of a value, 4 to 32; default 16
 *                              get: what EVP_MAC_final writes
 *   all-versions  int          1: a value of each active version, each after
 *                              its version in 4 bytes; default 0
 *   key-name, key-version      as of an EVP_CIPHER_CTX; key-version, set:
 *                              the version to use; default the newest
 */
#define KMSE_INDEX_NAME         "KMS-ENVELOPE-INDEX"
#define KMSE_PARAM_ALL_VERSIONS "all-versions"

/*
 * Parameters of an EVP_CIPHER_CTX.
 *   key-name     utf8 string   set: which key, as the 32 key bytes would say
 *                              get: the key's name, never empty
 *   key-version  uint          get: the version that wrote or opened the
 *                              message; set, for decryption: any other
 *                              version is refused; with KMS-ENVELOPE-SIV,
 *                              for encryption: the version to use
 */
#define KMSE_PARAM_KEY_NAME    "key-name"
#define KMSE_PARAM_KEY_VERSION "key-version"

/* EVP_PKEY, and its OSSL_STORE: kms-envelope:NAME. */
#define KMSE_PKEY_NAME    "KMS-ENVELOPE"
#define KMSE_STORE_SCHEME "kms-envelope"

/*
 * Parameters of an EVP_PKEY, which refers to a key: to be read, and by
 * EVP_PKEY_todata. EVP_PKEY_fromdata takes the first three.
 *   key-name          utf8 string
 *   key-version       uint           the one it is confined to; 0: none
 *   key-id            octet string   16 bytes, the same wherever the key goes
 *   newest-version    uint           the highest number there is
 *   current-version   uint           the one that encrypts now; 0: none does
 *   versions          uint           how many there are,
 *   active-versions   uint           and how many of them decrypt
 *   copies            int            1: its PEM form has the wrapped copies
 *   max-size          int            the longest message of EVP_PKEY_encrypt
 */
#define KMSE_PARAM_KEY_ID          "key-id"
#define KMSE_PARAM_NEWEST_VERSION  "newest-version"
#define KMSE_PARAM_CURRENT_VERSION "current-version"
#define KMSE_PARAM_VERSIONS        "versions"
#define KMSE_PARAM_ACTIVE_VERSIONS "active-versions"
#define KMSE_PARAM_COPIES          "copies"
#define KMSE_PKEY_MAX_SIZE         (64 << 20)

/*
 * Parameters for making a key (EVP_PKEY_CTX, openssl genpkey -pkeyopt).
 *   key          utf8 string   its name
 *   master-key   utf8 string   a master key's URI; set again: one more
 *   context      utf8 string   NAME=VALUE of the encryption context; likewise
 *   copies       utf8 string   yes: its PEM form has the wrapped copies
 */
#define KMSE_PARAM_GEN_KEY        "key"
#define KMSE_PARAM_GEN_MASTER_KEY "master-key"
#define KMSE_PARAM_GEN_CONTEXT    "context"

/*
 * Parameters of an EVP_SKEY, from OpenSSL 3.5 on (EVP_SKEY_import and
 * EVP_SKEY_generate, openssl enc and skeyutl -skeyopt): "key" as above, and
 *   version      uint          confine it to that version
 * With "master-key", EVP_SKEY_generate makes a new key.
 */
#define KMSE_PARAM_SKEY_VERSION "version"

/*
 * A parameter of an EVP_PKEY_CTX that encrypts or decrypts, beside key-name and
 * key-version as a cipher's context has them.
 *   aad   octet string   additional data of the next message
 */
#define KMSE_PARAM_AAD "aad"

/*
 * Parameters of the OSSL_PROVIDER (OSSL_PROVIDER_get_params).
 *   keys, default-key   utf8 ptr   as configured
 *   kms-calls           uint64     calls made to any KMS by this provider
 *   unwraps             uint64     data keys that a KMS or the agent gave
 *   failures            uint64     and did not give
 *   hits                uint64     messages that found their data key at hand
 *   misses              uint64     messages that waited for it
 *   stale-serves        uint64     hits past max-age, the KMS being away; of a
 *                                  thread, at most each 100 ms counts as one
 */
#define KMSE_PARAM_KMS_CALLS    "kms-calls"
#define KMSE_PARAM_UNWRAPS      "unwraps"
#define KMSE_PARAM_FAILURES     "failures"
#define KMSE_PARAM_HITS         "hits"
#define KMSE_PARAM_MISSES       "misses"
#define KMSE_PARAM_STALE_SERVES "stale-serves"

/* Keys of the provider's section in openssl.cnf; openssl.cnf.example. */
#define KMSE_CONF_KEYS                 "keys"
#define KMSE_CONF_DEFAULT_KEY          "default-key"
#define KMSE_CONF_MAX_AGE              "max-age"
#define KMSE_CONF_MAX_MESSAGES         "max-messages"
#define KMSE_CONF_MAX_BYTES            "max-bytes"
#define KMSE_CONF_STALE_IF_UNREACHABLE "stale-if-unreachable"
#define KMSE_CONF_LEGACY_NAMES         "legacy-names"
#define KMSE_CONF_LIBRARY_CONTEXT      "library-context"
#define KMSE_CONF_AGENT                "agent"
#define KMSE_CONF_AGENT_FALLBACK       "agent-fallback"
#define KMSE_CONF_DROP_IN              "drop-in"

/* The same, of how a KMS is reached: the tool takes these, too. */
#define KMSE_CONF_KMS_TIMEOUT                 "kms-timeout"
#define KMSE_CONF_KMS_CONNECT_TIMEOUT         "kms-connect-timeout"
#define KMSE_CONF_AWS_REGION                  "aws-region"
#define KMSE_CONF_AWS_PROFILE                 "aws-profile"
#define KMSE_CONF_AWS_SHARED_CREDENTIALS_FILE "aws-shared-credentials-file"
#define KMSE_CONF_AWS_CONFIG_FILE             "aws-config-file"
#define KMSE_CONF_AWS_CREDENTIAL_PROCESS      "aws-credential-process"
#define KMSE_CONF_AWS_ENDPOINT_URL            "aws-endpoint-url"
#define KMSE_CONF_AWS_USE_FIPS_ENDPOINT       "aws-use-fips-endpoint"
#define KMSE_CONF_AWS_USE_DUALSTACK_ENDPOINT  "aws-use-dualstack-endpoint"
#define KMSE_CONF_AWS_CA_BUNDLE               "aws-ca-bundle"
#define KMSE_CONF_AWS_PROXY                   "aws-proxy"
#define KMSE_CONF_AWS_NO_PROXY                "aws-no-proxy"
#define KMSE_CONF_AWS_ALLOW_HTTP              "aws-allow-http"

#endif
