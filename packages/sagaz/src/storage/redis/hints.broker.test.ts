import { expect, onTestFinished, test } from "vitest";
import { open, ownServer, plain, storageAt } from "../../../../../tests/engine/own-redis.ts";
import { startFaultProxy } from "../../../../../tools/servers/fault-proxy.ts";
import { waitUntil } from "../../../../../tools/servers/wait-until.ts";
import { append, register, toStart, toStartEntry } from "../../testing/conformance/storage/material.ts";
import { publish, toEvent } from "../../testing/conformance/storage/outbox-material.ts";

test("what one process does, another one hears of", async ({ skip }) => {
  const server = await ownServer(skip);
  const [t, other] = [await open(server.url), await open(server.url)];
  const heard: string[] = [];
  const stop = other.storage.listen((hint) => heard.push(hint));
  await waitUntil("it listens, and looks at everything once", () => heard.length === 4);
  heard.length = 0;
  const epoch = await register(t.storage);
  await append({ storage: t.storage, epoch }, toStartEntry(toStart(t, { owned: false })));
  await waitUntil("it has heard", () => heard.includes("work"));
  await publish(t, epoch, [toEvent(t, "k")]);
  await waitUntil("it has heard", () => heard.includes("outbox"));
  stop();
});

test("a listener that may not subscribe is told so once, and hears when it may", async ({ skip }) => {
  const server = await ownServer(skip);
  const redis = plain(server.url);
  const user = ["ACL", "SETUSER", "app", "on", ">pass", "~{sagaz:0}*", "+@all"] as const;
  await redis.call(...user);
  const notices: string[] = [];
  const url = server.url.replace("redis://", "redis://app:pass@");
  const t = await open(url, { answerTimeoutMs: 100, onNotice: (notice) => notices.push(notice) });
  const heard: string[] = [];
  t.storage.listen((hint) => heard.push(hint));
  await waitUntil("it is told", () => notices.length > 0);
  const refusals = async () =>
    /cmdstat_subscribe:.*rejected_calls=(\d+)/.exec(await redis.info("commandstats"));
  await waitUntil("it has tried again", async () => Number((await refusals())?.[1]) > 1);
  expect(notices).toEqual([expect.stringMatching(/hints are not heard.*NOPERM/)]);
  // What may not be told is written all the same, and the answer says so.
  const epoch = await register(t.storage);
  const start = toStart(t, { owned: false });
  await append({ storage: t.storage, epoch }, toStartEntry(start));
  expect(heard).toEqual([]);
  await redis.call(...user, "&{sagaz:0}*");
  await waitUntil("it hears of everything", () => heard.length === 4);
});

test("a listener whose line is dead without a word finds out, and listens again", async ({ skip }) => {
  const server = await ownServer(skip);
  const proxy = await startFaultProxy(server.url);
  onTestFinished(() => proxy.stop());
  const [t, other] = [await open(server.url), storageAt(proxy.through(server.url), { answerTimeoutMs: 200 })];
  await other.start();
  const heard: string[] = [];
  other.listen((hint) => heard.push(hint));
  await waitUntil("it listens", () => heard.length === 4);
  proxy.blackHole();
  const epoch = await register(t.storage);
  await append({ storage: t.storage, epoch }, toStartEntry(toStart(t, { owned: false })));
  const { opened } = proxy;
  await waitUntil("it gives the line up", () => proxy.opened > opened);
  proxy.heal();
  await waitUntil("it listens again, and looks at everything", () => heard.length >= 8);
});

test("when the other connection was lost, hints come by a new one: the server may be another one now", async ({
  skip,
}) => {
  const server = await ownServer(skip);
  const redis = plain(server.url);
  const t = await open(server.url);
  const heard: string[] = [];
  t.storage.listen((hint) => heard.push(hint));
  await waitUntil("it listens", () => heard.length === 4);
  await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await waitUntil("it listens anew, and looks at everything", () => heard.length === 8);
});
