/** An appointment that is planned, moved or cancelled without a connection is kept, and is not asked for twice. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { LocalError, type RapportClient } from "@rapport/sdk";
import { HandClock, openClient, startFakeServer } from "@rapport/sdk/testing";
import { kept, pendingOf } from "../src/planning.ts";

const HOUR_MS = 3_600_000;

it("counts as done, shows as pending, and is one appointment once the server is back", { timeout: 60_000 }, async ({
  signal,
}) => {
  const clock = new HandClock(Date.UTC(2030, 2, 18, 8));
  const server = await startFakeServer({ clock });
  const [dana, mira] = [await openClient(server), await openClient(server)];
  await dana.join(server.ownerLink(), "Dana");
  await mira.join(await dana.invite(), "Mira");
  /** Lets time pass until it is so. */
  const until = async (isSo: (client: RapportClient) => boolean, client = dana) => {
    while (!isSo(client) && !signal.aborted) {
      clock.forward(500);
      await setImmediate();
    }
  };
  /** The same, until this work has ended. */
  const passed = async (work: Promise<unknown>) => {
    let isOver = false;
    const end = work.finally(() => {
      isOver = true;
    });
    end.catch(() => undefined);
    await until(() => isOver);
    await end;
  };
  await until(() => dana.conversations().length > 0);
  const conversation = dana.conversations()[0]?.id ?? assert.fail();
  const startMs = Math.ceil((clock.ms + HOUR_MS) / 60_000) * 60_000;
  const what = {
    id: "",
    conversation,
    startMs,
    minutes: 50,
    modality: "video",
    title: "",
    note: "",
    weekly: 1,
  } as const;

  server.down();
  await passed(kept(dana.appointments.plan(conversation, what)));
  const [made] = dana.appointments.list();
  assert.ok(made);
  assert.deepEqual([made.pending, pendingOf(dana.appointments.list(), what)], [true, made.id]);
  server.up();
  await until((client) => client.appointments.of(made.id)?.pending === false);
  await until((client) => client.appointments.list().length > 0, mira);
  assert.equal(mira.appointments.list().length, 1);
  assert.equal(pendingOf(dana.appointments.list(), what), null);

  server.down();
  await passed(kept(dana.appointments.move(made.id, startMs + HOUR_MS)));
  assert.deepEqual(pendingOf(dana.appointments.list(), { ...what, startMs: startMs + HOUR_MS }), made.id);
  await assert.rejects(passed(kept(dana.appointments.cancel(made.id))), (error) => error instanceof LocalError);
  server.up();
  await until((client) => client.appointments.of(made.id)?.pending === false);
  await Promise.all([dana.close(), mira.close()]);
});
