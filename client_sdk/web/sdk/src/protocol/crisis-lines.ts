// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * Numbers that answer now, by country: part of the program (`crisis_lines.json`), so that they need no network.
 *
 * A therapist's own lines (`card` of docs/protocol.md, section 4.8) stand before these. Only numbers stand there that
 * the organisation behind them publishes for everybody; `source` is its site.
 */

/**
 * Somebody who listens. number: as it is written; send: the word to text to it, "" = it is called.
 *
 * dial: what is dialled where that is not the digits of `number`, else "". note: in the country's own language, like
 * the name. source: the site that publishes it.
 */
export interface CountryLine {
  readonly name: string;
  readonly number: string;
  readonly send: string;
  readonly dial: string;
  readonly note: string;
  readonly source: string;
}

/** What one country has. emergency: as it is dialled. */
export interface CountryNumbers {
  readonly emergency: string;
  readonly lines: readonly CountryLine[];
}

/** By ISO 3166 code. */
export const COUNTRIES: Readonly<Record<string, CountryNumbers>> = {
  AT: {
    emergency: "112",
    lines: [
      { name: "Telefonseelsorge", number: "142", send: "", dial: "", note: "Tag und Nacht, kostenlos", source: "telefonseelsorge.at" },
    ],
  },
  AU: {
    emergency: "000",
    lines: [
      { name: "Lifeline", number: "13 11 14", send: "", dial: "", note: "Day and night", source: "lifeline.org.au" },
    ],
  },
  BE: {
    emergency: "112",
    lines: [
      { name: "Zelfmoordlijn", number: "1813", send: "", dial: "", note: "Nederlands", source: "zelfmoord1813.be" },
      { name: "Centre de prévention du suicide", number: "0800 32 123", send: "", dial: "", note: "Français", source: "preventionsuicide.be" },
    ],
  },
  CA: {
    emergency: "911",
    lines: [
      { name: "9-8-8 Suicide Crisis Helpline", number: "988", send: "", dial: "", note: "Day and night, call or text", source: "988.ca" },
    ],
  },
  CH: {
    emergency: "144",
    lines: [
      { name: "Die Dargebotene Hand, La Main Tendue", number: "143", send: "", dial: "", note: "", source: "143.ch" },
      { name: "Pro Juventute", number: "147", send: "", dial: "", note: "", source: "147.ch" },
    ],
  },
  DE: {
    emergency: "112",
    lines: [
      { name: "TelefonSeelsorge", number: "0800 111 0 111", send: "", dial: "", note: "Tag und Nacht, kostenlos", source: "telefonseelsorge.de" },
      { name: "TelefonSeelsorge", number: "0800 111 0 222", send: "", dial: "", note: "Tag und Nacht, kostenlos", source: "telefonseelsorge.de" },
      { name: "TelefonSeelsorge", number: "116 123", send: "", dial: "", note: "Tag und Nacht, kostenlos", source: "telefonseelsorge.de" },
    ],
  },
  DK: {
    emergency: "112",
    lines: [
      { name: "Livslinien", number: "70 201 201", send: "", dial: "", note: "", source: "livslinien.dk" },
    ],
  },
  ES: {
    emergency: "112",
    lines: [
      { name: "Línea de atención a la conducta suicida", number: "024", send: "", dial: "", note: "", source: "sanidad.gob.es" },
    ],
  },
  FI: {
    emergency: "112",
    lines: [
      { name: "MIELI Kriisipuhelin", number: "09 2525 0111", send: "", dial: "", note: "", source: "mieli.fi" },
    ],
  },
  FR: {
    emergency: "112",
    lines: [
      { name: "Numéro national de prévention du suicide", number: "3114", send: "", dial: "", note: "24h/24, gratuit", source: "3114.fr" },
    ],
  },
  GB: {
    emergency: "999",
    lines: [
      { name: "Samaritans", number: "116 123", send: "", dial: "", note: "Day and night, free, nothing is too small", source: "samaritans.org" },
      { name: "NHS mental health crisis line", number: "111, then 2", send: "", dial: "111", note: "", source: "nhs.uk" },
      { name: "Shout", number: "85258", send: "SHOUT", dial: "", note: "If speaking is too much", source: "giveusashout.org" },
    ],
  },
  IE: {
    emergency: "112",
    lines: [
      { name: "Samaritans", number: "116 123", send: "", dial: "", note: "Day and night, free", source: "samaritans.org" },
      { name: "Text About It", number: "50808", send: "HELLO", dial: "", note: "If speaking is too much", source: "textaboutit.ie" },
    ],
  },
  IL: {
    emergency: "101",
    lines: [
      { name: "ERAN", number: "1201", send: "", dial: "", note: "", source: "eran.org.il" },
    ],
  },
  IN: {
    emergency: "112",
    lines: [
      { name: "Tele-MANAS", number: "14416", send: "", dial: "", note: "", source: "telemanas.mohfw.gov.in" },
    ],
  },
  IT: {
    emergency: "112",
    lines: [],
  },
  JP: {
    emergency: "119",
    lines: [],
  },
  NL: {
    emergency: "112",
    lines: [
      { name: "113 Zelfmoordpreventie", number: "0800 0113", send: "", dial: "", note: "", source: "113.nl" },
      { name: "113 Zelfmoordpreventie", number: "113", send: "", dial: "", note: "", source: "113.nl" },
    ],
  },
  NO: {
    emergency: "113",
    lines: [
      { name: "Mental Helse", number: "116 123", send: "", dial: "", note: "", source: "mentalhelse.no" },
      { name: "Kirkens SOS", number: "22 40 00 40", send: "", dial: "", note: "", source: "kirkens-sos.no" },
    ],
  },
  NZ: {
    emergency: "111",
    lines: [
      { name: "Need to Talk?", number: "1737", send: "", dial: "", note: "Call or text", source: "1737.org.nz" },
    ],
  },
  PL: {
    emergency: "112",
    lines: [
      { name: "Centrum Wsparcia", number: "800 70 2222", send: "", dial: "", note: "", source: "centrumwsparcia.pl" },
    ],
  },
  PT: {
    emergency: "112",
    lines: [
      { name: "SNS 24", number: "808 24 24 24", send: "", dial: "", note: "", source: "sns24.gov.pt" },
    ],
  },
  SE: {
    emergency: "112",
    lines: [
      { name: "Självmordslinjen", number: "90101", send: "", dial: "", note: "", source: "mind.se" },
    ],
  },
  US: {
    emergency: "911",
    lines: [
      { name: "988 Suicide & Crisis Lifeline", number: "988", send: "", dial: "", note: "Day and night, call or text", source: "988lifeline.org" },
      { name: "Crisis Text Line", number: "741741", send: "HOME", dial: "", note: "If speaking is too much", source: "crisistextline.org" },
    ],
  },
};
