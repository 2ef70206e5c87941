/** What a notification says: that something is there, never who or what. By class of the push, in the page's language. */

const WORDS = {
  en: {
    message: "You have a new message.",
    call: "Somebody is calling.",
    appointment: "There is news about an appointment.",
    urgent: "You have an urgent message.",
  },
  de: {
    message: "Sie haben eine neue Nachricht.",
    call: "Jemand ruft an.",
    appointment: "Es gibt Neues zu einem Termin.",
    urgent: "Sie haben eine dringende Nachricht.",
  },
} as const;

export type PushClass = keyof (typeof WORDS)["en"];

/** The class that a push names; whatever cannot be read is a message. */
export function classOf(content: string): PushClass {
  try {
    const said: unknown = JSON.parse(content);
    const named: unknown = typeof said === "object" && said !== null ? Reflect.get(said, "class") : null;
    return typeof named === "string" && Object.hasOwn(WORDS.en, named) ? (named as PushClass) : "message";
  } catch {
    return "message";
  }
}

/** The sentence of a class. language: as on the page, "de-AT"; English where there is no other. */
export function wordsOf(kind: PushClass, language: string): string {
  return (language.toLowerCase().startsWith("de") ? WORDS.de : WORDS.en)[kind];
}
