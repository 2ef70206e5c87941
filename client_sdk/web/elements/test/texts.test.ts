import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { calledName, initialsOf, inSentence, LANGUAGES, textsFor } from "../src/texts/texts.ts";

const WORDS = { name: "Dana", until: "12 November", server: "example.org", here: "now", there: "then" };

/** Every sentence of a catalogue by its path, functions called with plausible words. */
function sentences(node: unknown, path = ""): [string, string][] {
  if (typeof node === "string") {
    return [[path, node]];
  }
  if (typeof node === "function") {
    const argument = path.startsWith(".states.")
      ? WORDS
      : /arrived|newBelow|unread|kept$|wrong$|point/u.test(path)
        ? 2
        : "Dana";
    return [[path, String(node(argument, "21:40", "Mon 09:00", "Sam"))]];
  }
  return Object.entries(Object(node)).flatMap(([key, value]) => sentences(value, `${path}.${key}`));
}

for (const language of LANGUAGES) {
  describe(`the catalogue "${language}"`, () => {
    const all = sentences(textsFor(language));

    it("says something everywhere", () => {
      assert.ok(all.length > 200);
      for (const [path, sentence] of all) {
        assert.ok(sentence.trim() && !/undefined|\[object|\bnull\b/u.test(sentence), `${path}: ${sentence}`);
      }
    });

    it("keeps to the voice: no exclamation marks, no straight quotes, no words that say nothing", () => {
      for (const [path, sentence] of all) {
        assert.doesNotMatch(sentence, /[!'"]|oops|please|bitte |successfully|erfolgreich|secure/iu, path);
      }
    });
  });
}

it("says the same in every language, in other words", () => {
  const [english, german] = [new Map(sentences(textsFor("en"))), new Map(sentences(textsFor("de")))];
  assert.deepEqual([...german.keys()], [...english.keys()]);
  const same = [...english].filter(([path, sentence]) => german.get(path) === sentence).map(([path]) => path);
  assert.deepEqual(
    same,
    [".rapport", ".thread.kept"].filter((path) => same.includes(path)),
  );
});

it("uses the agreed sentences word for word", () => {
  const { thread, strip, states, safety } = textsFor("en");
  assert.equal(
    `${strip.offlineSince("21:36")} ${strip.kept(2)}`,
    "No connection since 21:36. 2 messages are saved here and go out by themselves.",
  );
  assert.equal(thread.kept("21:42", textsFor("en").howKept.phone), "21:42, saved on this phone");
  assert.equal(thread.sent("21:40"), "21:40, sent");
  assert.equal(thread.delivered("21:40"), "21:40, delivered");
  assert.equal(`${thread.failed} ${thread.sendAgain}`, "Not sent. It is still here. Send again");
  assert.equal(
    `${thread.keyChanged("Dana")} ${thread.compare}${thread.compareAfter}`,
    "Dana’s key changed. Compare the safety number before you write again.",
  );
  assert.equal(
    `${states.expiredLink.title}. ${states.expiredLink.body(WORDS)}`,
    "This invitation has ended. It was good until 12 November and has not been used. Nothing was lost and nobody else got in with it.",
  );
  assert.equal(safety.text, "When you next sit together, compare these. If they match, nobody is in between.");
});

it("uses the agreed sentences of the live hour word for word", () => {
  const { room, call, calls, precall, guard } = textsFor("en");
  const at = (news: keyof typeof room.news, words = "") =>
    `${room.news[news]("Dana")}. ${words}${room.details[news]("Dana", "13:50")}`;
  assert.equal(
    at("late", "“Ten minutes more, I’m sorry.” "),
    "Dana can’t start yet. “Ten minutes more, I’m sorry.” Your place is kept.",
  );
  assert.equal(at("admitted"), "Come in. Connecting you with Dana.");
  assert.equal(at("declined"), "Dana ended the waiting. Your messages are open as always.");
  assert.equal(at("sent_back"), "Dana asked you to wait outside for a moment. Nobody sees or hears you here.");
  assert.equal(
    `${guard.title("Sam")}. ${guard.text("Mira Lindqvist", "11:00", "Sam", "Mira")}`,
    "Sam is not on this appointment. The open room is Mira Lindqvist’s, 11:00. Letting Sam in would show Mira to Sam.",
  );
  assert.equal(
    `${call.reconnecting}. ${call.dropped} ${call.placeKept("Dana")} ${call.nothingToDo}`,
    "Reconnecting. The network dropped. Your place with Dana is kept. You don’t need to do anything.",
  );
  assert.equal(
    `${call.degradedAudio} ${call.theySee("Dana")} ${call.tryVideo}`,
    "Your network is weak, so the picture is paused to keep the sound clear. Dana sees this too. Try video again",
  );
  assert.equal(call.degradedText, "The network is too weak for sound. You are both still here, in writing.");
  assert.equal(`${calls.missed("Dana", "16:12")} ${calls.callBack}`, "You missed a call from Dana at 16:12. Call back");
  assert.equal(calls.elsewhere("laptop"), "Answered on your laptop.");
  assert.equal(
    `${precall.blocked.camera}. ${precall.blockedCamera}`,
    "The camera is blocked. You or the browser said no to the camera for this page. Your microphone works and your appointment is not affected.",
  );
});

it("calls people by what is surely their name", () => {
  for (const [name, called] of [
    ["Dana Okafor", "Dana"],
    ["Sam", "Sam"],
    ["Dr. Okafor", "Dr. Okafor"],
    ["Frau Okafor", "Frau Okafor"],
    ["ליאור כהן", "ליאור כהן"],
    ["李 小龍", "李 小龍"],
    ["J. R. Okafor", "J. R. Okafor"],
  ] as const) {
    assert.equal(calledName(name), called);
  }
  assert.equal(inSentence("ليلى", textsFor("en")), "\u2068ليلى\u2069");
  assert.equal(inSentence("a\u202eb", textsFor("en")), "\u2068a\u202eb\u2069");
  assert.equal(inSentence(" ", textsFor("en")), "the other person");
  assert.deepEqual(["Dana Okafor", "sam", "", "🌱 Ada B C"].map(initialsOf), ["DO", "S", "", "AC"]);
});
