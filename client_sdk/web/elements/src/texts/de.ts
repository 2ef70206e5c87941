/** Everything the elements say, in German. */

import { deskDe } from "./desk-de.ts";
import type { StateWords } from "./en.ts";
import { liveDe } from "./live-de.ts";
import { officeDe } from "./office-de.ts";
import type { Texts } from "./texts.ts";

/** The German catalogue. */
export const de: Texts = {
  languageTag: "de",
  rapport: "Rapport",
  today: "Heute",
  yesterday: "Gestern",
  you: "Sie",
  somebody: "die andere Person",
  copy: "Kopieren",
  copied: "Kopiert",
  cancel: "Abbrechen",
  howKept: {
    phone: "auf diesem Telefon gespeichert",
    computer: "auf diesem Computer gespeichert",
  },
  bar: {
    back: "Zurück",
    exit: "Verlassen",
    help: "Hilfe jetzt",
  },
  strip: {
    offlineSince: (since: string) => `Keine Verbindung seit ${since}.`,
    offline: "Keine Verbindung.",
    kept: (count: number) =>
      count === 1
        ? "1 Nachricht ist hier gespeichert und geht von selbst hinaus."
        : `${count} Nachrichten sind hier gespeichert und gehen von selbst hinaus.`,
    connecting: "Die Verbindung wird aufgebaut.",
    reconnecting: "Die Verbindung wird wieder aufgebaut. Das Netz war weg. Sie brauchen nichts zu tun.",
    closed: "Nicht verbunden. Was hier ist, lässt sich lesen; Neues kommt nicht an.",
    storage: "Dieses Gerät kann gerade nichts speichern. Was ankommt, wartet so lange auf dem Server.",
    notPersistent:
      "Dieser Browser löscht womöglich, was hier liegt, wenn der Platz knapp wird. Ein zweites Gerät bewahrt es.",
    notDone: "Das ging gerade nicht, und nichts wurde geändert. Versuchen Sie es noch einmal.",
    dismiss: "Diesen Hinweis schließen",
  },
  invite: {
    from: "Eine Einladung von",
    anonymous: "Eine Einladung",
    checked: (name: string) =>
      `Dieser Link trägt den Schlüssel von ${name}, und er stimmt. Was Sie schreiben, geht an ${name} und an niemanden sonst.`,
    between: "Was unter Ihnen bleibt",
    lockedTitle: "Auf diesem Gerät verschlossen:",
    locked: "was Sie schreiben und Ihr Name hier. Der Server kann nichts davon öffnen.",
    seenTitle: "Die Praxis kann sehen:",
    seen: "dass es dieses Konto gibt, wann Nachrichten ankommen und wie groß sie sind.",
    emergencyTitle: "Nicht für Notfälle.",
    emergency: "Nachts sieht niemand hier nach. Nummern, die jetzt antworten, stehen immer unter",
    nameLabel: (name: string) => `Wie soll ${name} Sie nennen?`,
    nameHint: (name: string) => `Jeder Name ist recht. Nur ${name} kann ihn lesen.`,
    nameMissing: "Schreiben Sie zuerst einen Namen, jeder ist recht.",
    nameTooLong: "Dieser Name ist zu lang. Ein kürzerer genügt.",
    start: "Beginnen",
    starting: "Es geht los. Die Schlüssel entstehen auf diesem Gerät.",
    until: (day: string) => `Dieser Link gilt einmal, für eine Person, bis ${day}.`,
    once: "Dieser Link gilt einmal, für eine Person.",
    otherDevice: "Ich nutze Rapport schon auf einem anderen Gerät",
    ownerTitle: "Ihre Praxis ist bereit",
    ownerText:
      "Mit diesem Link gehört sie Ihnen. Ihre Schlüssel entstehen auf diesem Gerät; behalten Sie es, oder verbinden Sie bald ein zweites.",
    ownerNameLabel: "Wie sollen andere Sie nennen?",
    ownerNameHint: "Nur wer mit Ihnen schreibt, kann ihn lesen.",
  },
  thread: {
    with: (name: string) => `Gespräch mit ${name}`,
    empty: (name: string) =>
      `Noch ist nichts geschrieben. Was Sie ${name} schreiben, wird auf diesem Gerät verschlossen.`,
    earlier: "Frühere Nachrichten zeigen",
    earlierLoading: "Frühere Nachrichten werden geladen.",
    sending: "Wird gesendet",
    kept: (time: string, where: string) => `${time}, ${where}`,
    sent: (time: string) => `${time}, gesendet`,
    delivered: (time: string) => `${time}, zugestellt`,
    read: (time: string) => `${time}, gelesen`,
    failed: "Nicht gesendet. Sie ist noch hier.",
    sendAgain: "Noch einmal senden",
    edited: "Bearbeitet",
    removedDevice: "von einem Gerät, das seither entfernt wurde",
    goesOn: (day: string) => `verschwindet ${day}`,
    deletedBy: (name: string) => `${name} hat eine Nachricht gelöscht`,
    deletedByYou: "Sie haben eine Nachricht gelöscht",
    unsupported: "Diese Art Nachricht kennt diese Version nicht. Eine neuere zeigt sie.",
    placeholders: {
      waiting: (name: string) =>
        `Wartet auf das Gerät von ${name}. Es muss den Schlüssel dieser Nachricht noch einmal senden. Sie brauchen nichts zu tun.`,
      missing: (name: string) =>
        `Hier hat ${name} etwas geschrieben, das noch nicht angekommen ist. Sie brauchen nichts zu tun.`,
      update: () => "Diese Nachricht braucht eine neuere Version. Laden Sie die Seite dafür neu.",
      not_addressed: () => "Geschrieben, bevor dieses Gerät verbunden war. Ihre anderen Geräte können sie zeigen.",
      unknown_sender: (name: string) =>
        `Eine Nachricht unter dem Namen ${name} von einem Gerät, das ${name} nicht bestätigt hat. Sie wurde nicht geöffnet.`,
      expired: () => "Diese Nachricht lag 90 Tage auf dem Server und wurde dort entfernt.",
      lost: (name: string) => `Diese Nachricht war nicht wiederzubekommen. ${name} kann sie noch einmal senden.`,
    },
    onlyYou: (name: string) => `Nur Ihre Geräte und die von ${name} können öffnen, was hier steht.`,
    howChecked: "Wie das geprüft wird",
    replyTo: (name: string) => `Antwort auf ${name}:`,
    earlierMessage: "Eine frühere Nachricht",
    reacted: (name: string, emoji: string) => `${name} hat mit ${emoji} reagiert`,
    typing: (name: string) => `${name} schreibt`,
    newBelow: (count: number) => `${count} neue unten`,
    arrived: (count: number) => (count === 1 ? "1 neue Nachricht" : `${count} neue Nachrichten`),
    actions: "Was Sie mit dieser Nachricht tun können",
    actionsOpen: "Mehr zu dieser Nachricht",
    reply: "Antworten",
    edit: "Bearbeiten",
    delete: "Löschen",
    deleteAsk: "Hier und auf der anderen Seite löschen?",
    deleteKeep: "Behalten",
    newDeviceOn: (name: string, day: string) => `${name} hat seit ${day} ein neues Gerät.`,
    deviceRemoved: (name: string) => `${name} hat ein Gerät entfernt.`,
    keyChanged: (name: string) => `Der Schlüssel von ${name} ist neu.`,
    compare: "Vergleichen Sie die Sicherheitsnummer",
    compareAfter: ", bevor Sie wieder schreiben.",
    joined: (name: string) => `${name} ist dabei.`,
    verified: (name: string) => `Sie haben die Sicherheitsnummer mit ${name} verglichen. Sie stimmte.`,
  },
  composer: {
    form: (name: string) => `An ${name} schreiben`,
    placeholder: (name: string) => `An ${name} schreiben`,
    label: (name: string) => `Nachricht an ${name}`,
    send: "Senden",
    replying: (name: string) => `Antwort an ${name}`,
    editing: "Ihre Nachricht bearbeiten",
    leave: "Nicht antworten",
    leaveEdit: "So lassen, wie sie war",
    tooLong: "Das ist länger, als eine Nachricht sein kann. Senden Sie es in zweien.",
    blockedKey: (name: string) => `Der Schlüssel von ${name} ist neu.`,
    signedOut: "Dieses Gerät ist abgemeldet. Was hier ist, lässt sich lesen.",
    alone: "Noch ist niemand sonst hier. Schreiben können Sie, sobald die Einladung angenommen ist.",
  },
  clients: {
    title: "Klient:innen",
    conversations: "Gespräche",
    invite: "Einladen",
    find: "Jemanden finden",
    none: "Noch niemand hier. Laden Sie die erste Person ein.",
    noMatch: "Niemand mit diesem Namen.",
    unnamed: "Eingeladen, noch nicht dabei",
    mine: (text: string) => `Sie: ${text}`,
    deleted: "Gelöschte Nachricht",
    waiting: "Wartet auf einen Schlüssel",
    call: "Anruf",
    appointment: "Termin",
    unread: (count: number) => `${count} neu`,
    draft: (text: string) => `Nicht gesendet: ${text}`,
    keyChanged: "Neuer Schlüssel",
    there: { online: "gerade da", away: "da, aber abwesend" },
  },
  console: {
    nav: "Hauptmenü",
    today: "Heute",
    clients: "Klienten",
    hours: "Sprechzeiten",
    devices: "Geräte",
    settings: "Optionen",
    nothingOpen: "Wählen Sie jemanden aus, um zu lesen und zu schreiben.",
    listRegion: "Ihre Klient:innen",
  },
  newInvite: {
    title: "Jemanden einladen",
    text: "Der Link gilt einmal, für eine Person, 7 Tage lang. Senden Sie ihn auf dem gewohnten Weg.",
    welcomeLabel: "Ihre ersten Worte",
    welcomeHint: "Sie werden vor dem Beginn gelesen. Sie schreiben zuerst.",
    colleague: "Er ist für jemanden aus der Praxis, nicht für Klienten",
    make: "Link erstellen",
    making: "Der Link entsteht. Erst muss der Server ihn kennen.",
    ready: "Der Link ist bereit",
    readyText: "Wer ihn hat, kann ihn einmal nutzen. Geben Sie ihn nur der Person, für die er ist.",
    link: "Einladungslink",
    copyLink: "Link kopieren",
    another: "Noch einen erstellen",
    tooLong: "Diese ersten Worte sind zu lang. Kürzen Sie sie ein wenig.",
  },
  devices: {
    title: "Ihre Geräte",
    this: "Dieses Gerät",
    unnamed: "Gerät ohne Namen",
    added: (day: string) => `Hinzugefügt am ${day}`,
    inUse: "In Gebrauch",
    remove: "Entfernen",
    removeNamed: (label: string) => `${label} entfernen`,
    removeAsk: (label: string) => `${label} entfernen? Es bekommt nichts mehr und kann sich nicht mehr anmelden.`,
    removeYes: "Gerät entfernen",
    removeNo: "Behalten",
    removing: "Wird entfernt. Wartet auf den Server.",
    rename: "Dieses Gerät benennen",
    renameHint: "Ihre anderen Geräte und alle, mit denen Sie schreiben, sehen diesen Namen.",
    save: "Speichern",
    leave: "Hier abmelden",
    leaveAsk: "Abmelden und alles auf diesem Gerät löschen? Was nicht gesendet ist, geht verloren.",
    leaveLast:
      "Das ist Ihr einziges Gerät. Abmelden löscht Ihre Schlüssel und Nachrichten für immer, niemand kann sie zurückholen.",
    leaveYes: "Löschen und abmelden",
    few: "Sie haben ein Gerät. Geht es verloren, ist auch verloren, was darauf ist. Ein zweites bewahrt es.",
  },
  link: {
    title: "Ein weiteres Gerät verbinden",
    begin: "Code zeigen",
    beginText: "Ihre Gespräche kommen mit. Beide Geräte bleiben Ihre.",
    point: (minutes: number) =>
      `Öffnen Sie Rapport auf dem neuen Gerät und richten Sie es auf dieses Quadrat. Gilt ${minutes} Minuten.`,
    qr: "QR-Code zum Verbinden eines Geräts",
    useCode: "Lieber ein Code",
    useQr: "Lieber das Quadrat",
    codeText: "Tippen Sie diesen Code auf dem neuen Gerät ein. Er ist geheim, bis es verbunden ist.",
    code: "Verbindungscode",
    waiting: "Wartet auf das neue Gerät.",
    digitsTitle: "Ziffern vergleichen",
    digitsText:
      "Das neue Gerät zeigt sechs Ziffern. Tippen Sie sie hier ein, damit sich kein anderes dazwischen drängt.",
    digitsLabel: "Sechs Ziffern",
    digitsMissing: "Das sind noch keine sechs Ziffern.",
    wrong: (left: number) =>
      left === 1
        ? "Das neue Gerät zeigt andere Ziffern. 1 Versuch bleibt."
        : `Das neue Gerät zeigt andere Ziffern. ${left} Versuche bleiben.`,
    confirm: "Dieses Gerät verbinden",
    confirming: "Wird verbunden. Lassen Sie beide Geräte offen.",
    done: (label: string) => `${label} ist verbunden.`,
    doneText: "Es zeigt von nun an Ihre Gespräche, auch was dieses Gerät aufbewahrt hat.",
    again: "Neu beginnen",
    close: "Fertig",
    ended: "Auf einem der beiden Geräte wurde abgebrochen. Nichts wurde geändert.",
    expired: "Der Code gilt nicht mehr, seine drei Minuten sind um. Nichts wurde geändert.",
    taken:
      "Ein anderes Gerät hat diesen Code benutzt. Waren das nicht Sie, bestätigen Sie nichts. Nichts wurde geändert.",
    forged: "Die Antwort der anderen Seite passt nicht zu diesem Code. Nichts wurde geändert.",
    foreign:
      "Dieser Code gehört zu einem anderen Server. Öffnen Sie stattdessen seine ganze Adresse. Nichts wurde geändert.",
    tooMany: "Sie haben so viele Geräte, wie ein Konto haben kann. Entfernen Sie zuerst eines.",
    newTitle: "Dieses Gerät verbinden",
    newText: "Öffnen Sie auf einem Gerät, das Ihre Gespräche hat, „Geräte“ und wählen Sie „Code zeigen“.",
    codeLabel: "Der Code, den es zeigt",
    codeHint: "8 Gruppen zu 4 Zeichen, oder die ganze Adresse.",
    codeWrong: "Das ist kein vollständiger Code. Nichts wurde gesendet.",
    labelLabel: "Wie soll dieses Gerät heißen?",
    labelHint: "„Telefon“ oder „Laptop zu Hause“ genügt.",
    open: "Weiter",
    opening: "Das andere Gerät wird gesucht.",
    showDigits: "Tippen Sie diese Ziffern auf Ihrem anderen Gerät ein",
    showDigitsText: "Sie zeigen, dass die beiden Geräte einander meinen.",
    digits: "Sechs Ziffern für Ihr anderes Gerät",
    finishing: "Wartet, bis das andere Gerät bestätigt.",
    linked: "Dieses Gerät ist verbunden",
    linkedText: "Ihre Gespräche sind hier.",
    toConversations: "Zu Ihren Gesprächen",
  },
  safety: {
    title: (name: string) => `Sicherheitsnummer mit ${name}`,
    text: "Vergleichen Sie sie, wenn Sie das nächste Mal zusammensitzen. Stimmt sie überein, ist niemand dazwischen.",
    number: "Sicherheitsnummer",
    match: "Sie stimmt",
    differ: "Sie stimmt nicht",
    verified: (name: string) => `Sie haben sie mit ${name} verglichen, und sie stimmte.`,
    unverify: "Zurücknehmen",
    differTitle: "Dann ist vielleicht jemand dazwischen",
    differText: (name: string) =>
      `Schreiben Sie hier nichts, was nur ${name} lesen soll. Sagen Sie es ${name} persönlich oder am Telefon. Ihre Nachrichten bleiben auf diesem Gerät.`,
    compareAgain: "Noch einmal vergleichen",
    changedTitle: (name: string) => `Der Schlüssel von ${name} ist neu`,
    changedText: (name: string) =>
      `Vielleicht hat ${name} auf einem anderen Gerät neu begonnen, vielleicht ist jemand an der Stelle von ${name}. Was Sie schrieben, ist aufbewahrt und wartet. Fragen Sie ${name} am Telefon oder persönlich.`,
    changedMatch: (name: string) => `Sieht ${name} noch dieselbe Nummer, dann ist die Änderung falsch.`,
    stillSame: "Die Nummer ist noch dieselbe",
    accept: "Mit dem neuen Schlüssel weiter",
    acceptHint: (name: string) =>
      `Nur wenn ${name} es Ihnen gesagt hat. Dann geht hinaus, was wartet, und es gibt eine neue Nummer zu vergleichen.`,
  },
  state: {
    do: "Was Sie tun können",
    copyMessage: "Nachricht kopieren",
    messageCopied: "Kopiert. Fügen Sie es dort ein, wo Sie sonst schreiben.",
    otherDevice: "Ich nutze Rapport schon auf einem anderen Gerät",
  },
  states: {
    expiredLink: {
      title: "Diese Einladung ist abgelaufen",
      body: ({ until }: StateWords) =>
        `Sie galt bis ${until} und wurde nicht benutzt. Nichts ging verloren, und niemand sonst kam damit herein.`,
      advice: ({ name }: StateWords) =>
        `Bitten Sie ${name} um einen neuen Link, auf dem Weg, auf dem dieser kam. Das dauert ein paar Sekunden.`,
      primary: ({ name }: StateWords) => `Nachricht an ${name} kopieren`,
      message: ({ name }: StateWords) =>
        `Guten Tag ${name}, der Link zu Rapport ist abgelaufen. Können Sie mir einen neuen senden?`,
    },
    endedLink: {
      title: "Diese Einladung gilt nicht mehr",
      body: () =>
        "Sie wurde schon benutzt, oder ihre Zeit ist um. Nichts ging verloren, und niemand kommt mehr damit herein.",
      advice: () => "Bitten Sie die Person, die Sie eingeladen hat, um einen neuen Link.",
      primary: () => "Nachricht kopieren",
      message: () => "Guten Tag, der Link zu Rapport ist abgelaufen. Können Sie mir einen neuen senden?",
    },
    usedLink: {
      title: "Diese Einladung wurde benutzt",
      body: () =>
        "Jeder Link gilt einmal. Haben Sie ihn auf einem anderen Gerät benutzt, ist Ihr Gespräch dort und nichts verloren.",
      advice: () =>
        "Verbinden Sie dieses Gerät von dort aus. Waren Sie es nicht, sagen Sie es der Person, die Sie eingeladen hat.",
      primary: () => "Von einem anderen Gerät verbinden",
    },
    noAccount: {
      title: "Hier ist noch niemand beigetreten",
      body: () => "Öffnen Sie zum Anfangen den Einladungslink, den Sie bekommen haben, in diesem Browser.",
      advice: () => "Wenn Sie Rapport schon auf einem anderen Gerät nutzen, verknüpfen Sie dieses von dort aus.",
      primary: () => "Von einem anderen Gerät verknüpfen",
    },
    occupied: {
      title: "Dieser Browser hat schon ein Konto",
      body: () => "Er fasst immer nur ein Konto. Nichts wurde gesendet, und die Einladung ist nicht verbraucht.",
      advice: () => "Öffnen Sie den Link auf einem anderen Gerät oder in einem anderen Browserprofil.",
      primary: () => "Zu Ihren Gesprächen",
    },
    wrongLink: {
      title: "Dieser Link ist nicht vollständig",
      body: () =>
        "Vielleicht wurde er beim Kopieren abgeschnitten. Nichts wurde gesendet, und die Einladung ist nicht verbraucht.",
      advice: () =>
        "Öffnen Sie ihn noch einmal dort, wo er ankam, oder kopieren Sie ihn ganz, bis zum letzten Zeichen.",
      primary: () => "Nachricht kopieren",
      message: () => "Guten Tag, der Link zu Rapport öffnet sich hier nicht. Können Sie ihn mir noch einmal senden?",
    },
    foreignLink: {
      title: "Dieser Link gehört woandershin",
      body: ({ server }: StateWords) =>
        `Er wurde für ${server} gemacht, nicht für diese Adresse. Dorthin wurde nichts gesendet.`,
      advice: ({ server }: StateWords) =>
        `Öffnen Sie ihn nur, wenn Sie ${server} kennen und einen Link dorthin erwarten.`,
      primary: () => "Dort öffnen",
    },
    mismatchedLink: {
      title: "Diese Einladung ist nicht, was ihr Link versprach",
      body: () =>
        "Was der Server zeigt, stammt nicht von der Person, die den Link gesendet hat. Nichts wurde dorthin gesendet.",
      advice: () =>
        "Gehen Sie hier nicht weiter. Sagen Sie es der Person, die Sie eingeladen hat, am Telefon oder persönlich, und bitten Sie um einen neuen Link.",
      primary: () => "Nachricht kopieren",
      message: () =>
        "Guten Tag, der Link zu Rapport zeigt etwas, das nicht zu ihm passt. Ich habe ihn nicht benutzt. Können Sie mir einen neuen senden?",
    },
    serverDown: {
      title: "Der Server antwortet nicht",
      body: () =>
        "Ihre Nachrichten sind auf diesem Gerät aufbewahrt. Was Sie schreiben, geht später von selbst hinaus.",
      advice: () => "Es wird von selbst wieder versucht. Öffnen sich auch andere Seiten nicht, liegt es an Ihrem Netz.",
      primary: () => "Jetzt versuchen",
    },
    serverDownAtStart: {
      title: "Der Server antwortet nicht",
      body: () =>
        "Nichts ging verloren. Die Einladung ist nicht verbraucht, und was Sie hier beginnen, geht weiter, wo es stehen blieb.",
      advice: () =>
        "Versuchen Sie es in ein paar Minuten noch einmal. Öffnen sich auch andere Seiten nicht, liegt es an Ihrem Netz.",
      primary: () => "Jetzt versuchen",
    },
    wrongServer: {
      title: "Unter dieser Adresse antwortet etwas anderes",
      body: () =>
        "Es ist nicht der Server, dem Sie beigetreten sind. Nichts wurde dorthin gesendet, alles ist auf diesem Gerät aufbewahrt.",
      advice: () =>
        "In einem öffentlichen Netz: Melden Sie sich erst dort an oder nutzen Sie ein anderes. Bleibt es so, fragen Sie Ihre Praxis.",
      primary: () => "Jetzt versuchen",
    },
    clockWrong: {
      title: "Die Uhr dieses Geräts geht falsch",
      body: ({ here, there }: StateWords) => `Sie zeigt ${here}, der Server sagt ${there}. Nichts ging verloren.`,
      advice: () =>
        "Lassen Sie Datum und Uhrzeit in den Einstellungen des Geräts automatisch stellen. Dann geht es hier weiter.",
      primary: () => "Noch einmal versuchen",
    },
    storageFull: {
      title: "Auf diesem Gerät ist kein Platz mehr",
      body: () => "Es lässt sich nichts mehr speichern. Was hier ist, bleibt, und was ankommt, wartet auf dem Server.",
      advice: () => "Machen Sie etwas Platz, zum Beispiel bei alten Videos. Dann geht es hier weiter.",
      primary: () => "Noch einmal versuchen",
    },
    storageBroken: {
      title: "Was hier aufbewahrt ist, lässt sich nicht lesen",
      body: () =>
        "Etwas auf diesem Gerät hat es beschädigt, oder ein anderes Programm hat es geändert. Ihre anderen Geräte sind nicht betroffen.",
      advice: () =>
        "Versuchen Sie es zuerst noch einmal. Hilft das nicht, verbinden Sie dieses Gerät neu von einem anderen aus.",
      primary: () => "Noch einmal versuchen",
    },
    storageLost: {
      title: "Was hier aufbewahrt war, ist weg",
      body: () =>
        "Der Browser hat die Schlüssel und Nachrichten dieses Geräts gelöscht. Andere Geräte von Ihnen haben sie noch, und die Menschen, mit denen Sie schreiben, auch.",
      advice: () =>
        "Verbinden Sie dieses Gerät von einem anderen aus. Ohne ein anderes bitten Sie um eine neue Einladung: Damit beginnen Sie ein neues Gespräch, mit einem neuen Schlüssel.",
      primary: () => "Von einem anderen Gerät verbinden",
      message: () =>
        "Guten Tag, mein Browser hat Rapport gelöscht. Können Sie mir eine neue Einladung senden? Mein Schlüssel wird ein neuer sein.",
    },
    unsupportedBrowser: {
      title: "Dieser Browser kann Ihre Nachrichten nicht schützen",
      body: () =>
        "Er ist zu alt, oder es ist ein privates Fenster, das vergisst. Nichts wurde gesendet, und die Einladung ist nicht verbraucht.",
      advice: () =>
        "Öffnen Sie den Link in einem aktuellen Chrome, Edge, Firefox oder Safari, in einem gewöhnlichen Fenster.",
      primary: () => "Link kopieren",
    },
    signedOut: {
      title: "Dieses Gerät ist abgemeldet",
      body: () =>
        "Ein anderes Ihrer Geräte hat es entfernt, oder der Server kennt es nicht mehr. Was hier ist, bleibt und lässt sich lesen.",
      advice: () => "Verbinden Sie es wieder von einem anderen Gerät aus, um zu schreiben und Neues zu bekommen.",
      primary: () => "Von einem anderen Gerät verbinden",
    },
    identityChanged: {
      title: "Vergleichen Sie, bevor Sie wieder schreiben",
      body: ({ name }: StateWords) =>
        `Der Schlüssel von ${name} ist neu. Was Sie schrieben, ist aufbewahrt und wartet.`,
      advice: ({ name }: StateWords) =>
        `Fragen Sie ${name} am Telefon oder persönlich, und vergleichen Sie die Sicherheitsnummer.`,
      primary: () => "Sicherheitsnummer vergleichen",
    },
  },
  settings: {
    nameLabel: "Ihr Name",
    nameHint: "Wer mit Ihnen schreibt, sieht ihn. Der Server nicht.",
    save: "Speichern",
    saved: "Gespeichert",
    look: "Hell oder dunkel",
    looks: { system: "Wie das Gerät", light: "Hell", dark: "Dunkel" },
    language: "Sprache",
    presence: "Meine therapeutische Begleitung darf sehen, wann ich da bin",
    presenceText:
      "Aus, solange Sie es nicht einschalten. Gezeigt wird nur, ob Sie gerade da sind, nie seit wann, und niemandem sonst. Der Server weiß es ohnehin.",
    passphrase: "Passwort",
    passphraseText:
      "Wird gefragt, wenn Rapport auf diesem Gerät aufgeht. Vergessen Sie es, lässt sich nicht öffnen, was auf diesem Gerät ist.",
    passphraseSet: "Passwort setzen",
    passphraseChange: "Passwort ändern",
    passphraseOff: "Wegnehmen",
    passphraseNow: "Das Passwort, das jetzt gilt",
    passphraseNew: "Neues Passwort",
    passphraseAgain: "Neues Passwort, noch einmal",
    passphraseStates: {
      busy: "Wird geändert.",
      done: "Fertig. Es gilt ab jetzt.",
      missing: "Geben Sie das Passwort ein, das jetzt gilt. Nichts wurde geändert.",
      wrong: "Das ist nicht das Passwort, das jetzt gilt. Nichts wurde geändert.",
      short: "Mindestens 8 Zeichen. Drei Wörter sind gut.",
      different: "Die beiden neuen sind verschieden. Nichts wurde geändert.",
    },
  },
  unlock: {
    title: "Ihr Passwort",
    text: "Was auf diesem Gerät aufbewahrt ist, ist damit verschlossen.",
    open: "Öffnen",
    opening: "Wird geöffnet.",
    wrong: "Das ist nicht das Passwort. Nichts wurde geändert.",
  },
  ...officeDe,
  ...liveDe,
  ...deskDe,
};
