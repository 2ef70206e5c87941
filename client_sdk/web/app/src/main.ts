/** The app: one client, one page. */

import { tokens } from "@rapport/elements";
import { RapportClient } from "@rapport/sdk";
import { App } from "./app.ts";
import { installOffline } from "./offline.ts";
import { showPreferences } from "./preferences.ts";
import "./appointment-screen.ts";
import "./at-door.ts";
import "./away-calls.ts";
import "./call-screen.ts";
import "./check-screen.ts";
import "./conversation-screen.ts";
import "./cover-screen.ts";
import "./day-screen.ts";
import "./devices-screen.ts";
import "./door-screen.ts";
import "./feed-screen.ts";
import "./help-screen.ts";
import "./home-screen.ts";
import "./hours-screen.ts";
import "./inviting.ts";
import "./joining.ts";
import "./linking-here.ts";
import "./notifications-screen.ts";
import "./ringing.ts";
import "./room-link-screen.ts";
import "./settings-screen.ts";
import "./wait-screen.ts";

/** The worker's address, put in by the build. */
declare const RAPPORT_WORKER: string;

showPreferences();
if (tokens.styleSheet !== undefined) {
  document.adoptedStyleSheets.push(tokens.styleSheet);
}
const app = new App();
app.client = new RapportClient({ worker: RAPPORT_WORKER });
app.offline = installOffline(document.documentElement.lang);
document.body.append(app);
