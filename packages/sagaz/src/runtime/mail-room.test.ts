import { expect, test } from "vitest";
import { saga as build } from "../core/definition/builder.ts";
import { SagaError } from "../core/errors.ts";
import { toSagaId } from "../core/saga/saga-id.ts";
import { append, rowOf, toStart, toStartEntry } from "../testing/conformance/storage/material.ts";
import { Stage } from "../../../../tests/engine/stage.ts";
import { toMail } from "./entry.ts";
import { MailRoom } from "./mail-room.ts";

const LEASE_MS = 5_000;

test("mail that nobody reads, however much, is in nobody's way; it is read once its saga is in memory", async () => {
  await using stage = await Stage.open();
  const { storage, clock } = stage;
  const saga = build("reads")
    .step("work", { do: () => new Promise<number>(() => {}) })
    .signal("go")
    .build();
  const process = await stage.processWith({ sagas: [saga], leaseMs: LEASE_MS });
  const present = await stage.start(process, saga, null);
  const { owner, ...row } = await stage.drive(rowOf(storage, present.id));
  const [started] = await stage.drive(storage.queries.journal(present.id));
  // Older than the other, so that its mail comes first.
  const sagaId = toSagaId(clock.now() - 1_000, new Uint8Array(10));
  const start = { sagaId, sagaName: row.sagaName, graphHash: row.graphHash, started: started! };
  const absent = toStart({ storage, now: () => clock.now() } as never, start);
  await stage.drive(append({ storage, epoch: owner! }, toStartEntry(absent)));
  const signals = Array.from({ length: 600 }, (_, n) =>
    toMail(`m-${n}`, sagaId, { kind: "signal", signal: "go", payload: n }),
  );
  await stage.drive(Promise.all(signals.map((mail) => storage.mailbox.send(mail))));
  await stage.drive(process.sagas.signal(present.id, "go", 1), 4_000);
  expect(await stage.history(process, present.id)).toContain("signal_received");
  expect(await stage.history(process, sagaId)).toEqual(["saga_started"]);
  await clock.advance(6 * LEASE_MS);
  const history = await stage.history(process, sagaId);
  expect(history.filter((type) => type === "signal_received")).toHaveLength(600);
});

test("a fetch that the process's own stop cuts off is no failure; one that fails while it runs is said", async () => {
  const logged: string[] = [];
  let isRunning = true;
  const room = (onFetch: () => void) =>
    new MailRoom({
      storage: {
        mailbox: {
          fetch: () => {
            onFetch();
            return Promise.reject(new SagaError("SAGAZ_STOPPED", { message: "the storage has stopped" }));
          },
        },
      } as never,
      log: { warn: (message: string) => void logged.push(message) } as never,
      isRunning: () => isRunning,
      epoch: () => 1,
      runners: new Map(),
      clock: undefined as never,
    });
  await room(() => {}).fetch();
  expect(logged).toEqual(["sagaz: fetching mail failed"]);
  await room(() => (isRunning = false)).fetch();
  expect(logged).toHaveLength(1);
});
