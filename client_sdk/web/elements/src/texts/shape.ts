/** The shape of a catalogue: every key, every parameter, other words. */
export type Same<T> = T extends string
  ? string
  : T extends (...words: infer Words) => string
    ? (...words: Words) => string
    : { readonly [Key in keyof T]: Same<T[Key]> };
