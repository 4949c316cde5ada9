import { expect, test } from "vitest";
import { toEvent } from "../../testing/conformance/storage/inbox-rules.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { DeadLetters } from "./dead-letters.ts";

async function open() {
  const storage = new InMemoryStorage();
  const letter = {
    consumerName: "billing",
    createdAt: 0,
    attempts: 5,
    code: "SAGAZ_HANDLER_FAILED",
    error: "no",
    stack: null,
  };
  for (const name of ["a", "b"]) await storage.deadLetters.bury({ ...letter, event: toEvent(name) });
  return { storage, letters: new DeadLetters({ storage }) };
}

test("dead letters are listed, and sent out again once", async () => {
  const { storage, letters } = await open();
  const { letters: found, next } = await letters.list();
  expect(found.map(({ event }) => event.eventId)).toEqual(["a", "b"]);
  expect(next).toBeUndefined();
  const ids = found.map(({ id }) => id);
  expect(await letters.redrive(ids, { actor: "ann" })).toEqual(ids);
  expect(await letters.redrive(ids, { actor: "ann" })).toEqual([]);
  expect((await storage.outbox.backlog()).pending).toBe(2);
  expect((await letters.list({ open: true })).letters).toEqual([]);
});

test("misuse is refused", async () => {
  const { letters } = await open();
  for (const limit of [0, 1_001, 1.5])
    await expect(letters.list({ limit })).rejects.toMatchObject({ code: "SAGAZ_INVALID_OPTION" });
  await expect(letters.redrive([1], { actor: " " })).rejects.toMatchObject({ code: "SAGAZ_REASON_REQUIRED" });
  await expect(letters.redrive([0.5], { actor: "ann" })).rejects.toMatchObject({
    code: "SAGAZ_INVALID_OPTION",
  });
  const many = Array.from({ length: 1_001 }, (_, id) => id);
  await expect(letters.redrive(many, { actor: "ann" })).rejects.toMatchObject({
    code: "SAGAZ_INVALID_OPTION",
  });
});
