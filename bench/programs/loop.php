<?php // SPDX-License-Identifier: Apache-2.0
[, $rounds, $messages] = $argv;
$text = str_repeat("a", 32);
$key = random_bytes(32);
$raw = OPENSSL_RAW_DATA;

$calls = [
    "ours" => [
        fn() => openssl_encrypt($text, "kms-envelope", "emails", $raw),
        fn($box) => openssl_decrypt($box, "kms-envelope", "emails", $raw),
    ],
    "gcm" => [
        function () use ($text, $key, $raw) {
            $iv = random_bytes(12);
            $box = openssl_encrypt($text, "aes-256-gcm", $key, $raw, $iv, $tag);
            return [$iv, $box, $tag];
        },
        fn($got) => openssl_decrypt($got[1], "aes-256-gcm", $key, $raw, $got[0], $got[2]),
    ],
];

function took($call, $messages, $given = null)
{
    $start = hrtime(true);
    for ($i = 0; $i < $messages; $i++)
        $call($given);
    return hrtime(true) - $start;
}

for ($round = 0; $round < $rounds; $round++) {
    $line = [];
    foreach ($calls as [$seal, $open]) {
        $box = $seal();
        if ($open($box) !== $text)
            exit(1);
        array_push($line, took($seal, $messages), took($open, $messages, $box));
    }
    echo implode(" ", $line), "\n";
}
