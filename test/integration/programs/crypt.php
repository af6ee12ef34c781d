<?php
// SPDX-License-Identifier: Apache-2.0
// What a web application does: encrypts or decrypts the body of a request. With
// a door, it waits there until the test opens, so that every worker is busy.
if (isset($_GET["door"])) {
    $door = stream_socket_client("unix://" . $_GET["door"]);
    fwrite($door, getmypid() . "\n");
    fgets($door);
}
$in = file_get_contents("php://input");
$out = match ($_GET["do"]) {
    "encrypt" => openssl_encrypt($in, "kms-envelope", $_GET["key"], OPENSSL_RAW_DATA),
    "decrypt" => openssl_decrypt($in, "kms-envelope", $_GET["key"], OPENSSL_RAW_DATA),
    "environment" => json_encode(getenv()),
};
$errors = [];
while ($out === false && ($error = openssl_error_string()))
    $errors[] = $error;
header("Content-Type: application/json");
echo json_encode([
    "pid" => getmypid(),
    "out" => $out === false ? null : base64_encode($out),
    "errors" => $errors,
]);
