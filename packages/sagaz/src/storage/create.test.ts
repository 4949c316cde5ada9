import { expect, test } from "vitest";
import { createStorage } from "./create.ts";

test("a URL names its storage", async () => {
  for (const [url, name] of [
    ["memory:", "memory"],
    ["postgres://user@127.0.0.1:1/db", "PostgreSQL"],
    ["PostgreSQL://user@127.0.0.1:1/db", "PostgreSQL"],
    ["embedded:", "embedded PostgreSQL"],
    ["embedded:some/folder", "embedded PostgreSQL"],
    ["redis://user@127.0.0.1:1/0", "Redis"],
    ["rediss://user@127.0.0.1:1/0", "Redis"],
  ] as const) {
    expect((await createStorage(url)).name).toBe(name);
  }
});

test("an unknown scheme is refused, and the known ones are named", async () => {
  await expect(createStorage("mysql://root:secret@host/db")).rejects.toMatchObject({
    code: "SAGAZ_UNKNOWN_STORAGE",
    details: { scheme: "mysql:", known: "postgres: postgresql: embedded: redis: rediss: memory:" },
  });
  for (const url of ["", "no scheme at all", "constructor:x", "__proto__:x"])
    await expect(createStorage(url)).rejects.toMatchObject({ code: "SAGAZ_UNKNOWN_STORAGE" });
});

test("what is wrong is said without the password", async () => {
  const unreadable = await createStorage("postgres://user:s3cret@host:notaport/db").catch(
    (error: unknown) => error,
  );
  expect(unreadable).toMatchObject({ code: "SAGAZ_INVALID_OPTION" });
  const stray = await createStorage("redis://user:100%s3cret@host").catch((error: unknown) => error);
  expect(stray).toMatchObject({ code: "SAGAZ_INVALID_OPTION" });
  const storage = await createStorage("postgres://user:s3cret@127.0.0.1:1/db");
  const unreachable = await storage.start().catch((error: unknown) => error);
  expect(unreachable).toMatchObject({ code: "SAGAZ_STORAGE_UNAVAILABLE" });
  await storage.stop();
  const { inspect } = await import("node:util");
  for (const error of [unreadable, stray, unreachable])
    expect(inspect(error, { depth: 9 })).not.toContain("s3cret");
});

test("a storage that was never started, or was stopped, says so", async () => {
  const storage = await createStorage("postgres://user@127.0.0.1:1/db");
  await expect(storage.leases.beat(1)).rejects.toMatchObject({ code: "SAGAZ_NOT_STARTED" });
  await storage.stop();
  await storage.stop();
  await expect(storage.leases.beat(1)).rejects.toMatchObject({ code: "SAGAZ_STOPPED" });
});
