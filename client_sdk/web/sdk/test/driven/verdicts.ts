/** What the codec makes of frames: a line of "client" or "server" and hexadecimal in, "message" or "refused" out. */

import { createInterface } from "node:readline";
import { fromHex } from "../../src/protocol/bytes.ts";
import { decodeClientMessage, decodeServerMessage } from "../../src/protocol/codec.ts";
import { FormatError } from "../../src/protocol/errors.ts";

for await (const line of createInterface({ input: process.stdin })) {
  const [speaker, frame = ""] = line.split(" ");
  let verdict = "message";
  try {
    (speaker === "client" ? decodeClientMessage : decodeServerMessage)(fromHex(frame));
  } catch (problem) {
    if (!(problem instanceof FormatError)) {
      throw problem;
    }
    verdict = "refused";
  }
  process.stdout.write(`${verdict}\n`);
}
