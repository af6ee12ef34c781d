# SPDX-License-Identifier: Apache-2.0
require "openssl"

rounds, messages = ARGV.map(&:to_i)
TEXT = "a" * 32
KEY = OpenSSL::Random.random_bytes(32)
NAME = "emails".ljust(32, "\0")

def ours_seal(_)
  c = OpenSSL::Cipher.new("kms-envelope").encrypt
  c.key = NAME
  c.update(TEXT) + c.final
end

def ours_open(box)
  c = OpenSSL::Cipher.new("kms-envelope").decrypt
  c.key = NAME
  c.update(box) + c.final
end

def gcm_seal(_)
  c = OpenSSL::Cipher.new("aes-256-gcm").encrypt
  c.key = KEY
  iv = c.random_iv
  [iv, c.update(TEXT) + c.final, c.auth_tag]
end

def gcm_open(got)
  c = OpenSSL::Cipher.new("aes-256-gcm").decrypt
  c.key = KEY
  c.iv, box, c.auth_tag = got
  c.update(box) + c.final
end

def took(name, messages, given)
  start = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
  messages.times { send(name, given) }
  Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond) - start
end

rounds.times do
  line = [%i[ours_seal ours_open], %i[gcm_seal gcm_open]].flat_map do |seal, open|
    box = send(seal, nil)
    exit 1 unless send(open, box) == TEXT
    [took(seal, messages, nil), took(open, messages, box)]
  end
  puts line.join(" ")
end
