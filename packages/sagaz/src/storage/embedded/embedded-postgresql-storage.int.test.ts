import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeScratchFolder, removeScratchFolder } from "../../../../../tools/servers/scratch-folder.ts";
import { toSagaId } from "../../core/saga/saga-id.ts";
import type { SagaStorage, StartRow } from "../../ports/storage.ts";
import { createStorage } from "../create.ts";
import { EmbeddedPostgreSQLStorage } from "./index.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await makeScratchFolder("embedded-storage");
});
afterAll(() => removeScratchFolder(scratch));

const toStart = (sagaId: string): StartRow => ({
  sagaId,
  sagaName: "order",
  version: 1,
  graphHash: "h",
  tenantId: null,
  correlationId: null,
  owned: true,
  wakeAt: null,
  idempotencyKey: null,
  inputHash: null,
  attributes: null,
  parentId: null,
  started: { type: "saga_started", step: null, data: "{}" },
});

async function startSaga(storage: SagaStorage): Promise<string> {
  const { epoch } = await storage.leases.register({ workerName: "w", leaseMs: 10_000, definitions: [] });
  const start = toStart(toSagaId(Date.now(), Buffer.from("0123456789")));
  const events = [start.started];
  const none = { row: undefined, spawns: [], mails: [], readMails: [], outbox: [] };
  const entry = { sagaId: start.sagaId, firstSeq: 1, events, start, ...none };
  await storage.journal.append({ epoch, entries: [entry] });
  return start.sagaId;
}

test("sagas are still there when the server is started again, by class or by URL", async () => {
  const dataDir = path.join(scratch, "data");
  const storage = new EmbeddedPostgreSQLStorage({ dataDir });
  await storage.start();
  const sagaId = await startSaga(storage);
  await storage.stop();
  await storage.stop();
  await expect(storage.queries.find(sagaId)).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });

  const again = await createStorage(`embedded:${dataDir}`);
  await again.start();
  expect((await again.queries.find(sagaId))?.status).toBe("running");
  await again.stop();

  await storage.start();
  expect((await storage.queries.journal(sagaId)).length).toBe(1);
  await storage.stop();
});

test("two of one folder share a server, and the last one stops it", async () => {
  const dataDir = path.join(scratch, "shared");
  const [one, two] = [new EmbeddedPostgreSQLStorage({ dataDir }), new EmbeddedPostgreSQLStorage({ dataDir })];
  await Promise.all([one.start(), two.start()]);
  const sagaId = await startSaga(one);
  await one.stop();
  expect((await two.queries.find(sagaId))?.sagaId).toBe(sagaId);
  await two.stop();
});

test("a start that fails can be tried again", async () => {
  const storage = new EmbeddedPostgreSQLStorage({
    dataDir: path.join(scratch, "late"),
    binDir: path.join(scratch, "nothing here"),
  });
  for (let tries = 0; tries < 2; tries += 1)
    await expect(storage.start()).rejects.toMatchObject({ code: "SAGAZ_EMBEDDED_UNAVAILABLE" });
  await storage.stop();
});
