// SPDX-License-Identifier: Apache-2.0
const { createCipheriv, createDecipheriv, randomBytes } = require("crypto");
const [rounds, messages] = process.argv.slice(-2).map(Number);
const text = Buffer.alloc(32, "a");
const key = randomBytes(32);
const name = Buffer.alloc(32);
name.write("emails");

const calls = [
  [
    () => {
      const c = createCipheriv("kms-envelope", name, null);
      return Buffer.concat([c.update(text), c.final()]);
    },
    (box) => {
      const c = createDecipheriv("kms-envelope", name, null);
      return Buffer.concat([c.update(box), c.final()]);
    },
  ],
  [
    () => {
      const iv = randomBytes(12);
      const c = createCipheriv("aes-256-gcm", key, iv);
      return [iv, Buffer.concat([c.update(text), c.final()]), c.getAuthTag()];
    },
    ([iv, box, tag]) => {
      const c = createDecipheriv("aes-256-gcm", key, iv);
      c.setAuthTag(tag);
      return Buffer.concat([c.update(box), c.final()]);
    },
  ],
];

function took(call, given) {
  const start = process.hrtime.bigint();
  for (let i = 0; i < messages; i++) call(given);
  return process.hrtime.bigint() - start;
}

for (let round = 0; round < rounds; round++) {
  const line = calls.flatMap(([seal, open]) => {
    const box = seal();
    if (!open(box).equals(text)) process.exit(1);
    return [took(seal), took(open, box)];
  });
  console.log(line.join(" "));
}
