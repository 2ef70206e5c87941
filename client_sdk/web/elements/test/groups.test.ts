import assert from "node:assert/strict";
import { it } from "node:test";
import { ago, DANA, message, NOW_MS, own, SAM } from "../gallery/people.ts";
import { linesOf } from "../src/groups.ts";

const dayNumber = (ms: number) => Math.floor(ms / 86_400_000);
const drawn = (...given: Parameters<typeof linesOf>) =>
  linesOf(...given).map((line) =>
    line.kind === "message" ? `${line.message.text}${line.last ? " |" : ""}${line.gap ? " gap" : ""}` : line.kind,
  );

it("groups what one person writes within five minutes; the last of a group carries the state", () => {
  const messages = [
    message(DANA, "a", ago(30)),
    message(DANA, "b", ago(28)),
    message(DANA, "c", ago(20)),
    own(SAM, "d", ago(19)),
    own(SAM, "e", ago(18), { status: "sent" }),
    own(SAM, "f", ago(17), { status: "queued" }),
    own(SAM, "g", ago(16), { status: "queued" }),
    own(SAM, "h", ago(15), { status: "failed" }),
  ];
  assert.deepEqual(drawn(messages, [], dayNumber), [
    "day",
    "a",
    "b |",
    "c | gap",
    "d | gap",
    "e | gap",
    "f | gap",
    "g | gap",
    "h | gap",
  ]);
});

it("marks each day once, whatever clocks say, and places notices by their time", () => {
  const day = 86_400_000;
  const messages = [
    message(DANA, "a", NOW_MS - 2 * day),
    message(DANA, "b", NOW_MS),
    message(DANA, "late clock", NOW_MS - day),
    message(DANA, "c", NOW_MS + 1),
  ];
  const notices = [
    { id: "2", atMs: NOW_MS + 5, kind: "joined", name: "Sam" },
    { id: "1", atMs: NOW_MS - day, kind: "newDevice", name: "Dana" },
  ] as const;
  assert.deepEqual(
    drawn(messages, notices, dayNumber),
    ["day", "a |", "day", "notice", "day", "b |", "late clock |", "c | gap", "notice"].map((line) =>
      line === "late clock |" ? "late clock | gap" : line,
    ),
  );
});
