import { EventEmitter } from "node:events";
import { afterEach, expect, test, vi } from "vitest";
import type { AmqpConnection } from "./amqp.ts";
import { toOutgoing, type Outgoing } from "./messages.ts";
import { Outlet } from "./outlet.ts";

afterEach(() => void vi.useRealTimers());

/** A channel by hand: it confirms when it is told to. */
class Channel extends EventEmitter {
  readonly confirm: ((error: Error | null) => void)[] = [];
  refusal: Error | undefined;

  assertExchange(): Promise<void> {
    return Promise.resolve();
  }

  publish(_: string, __: string, ___: unknown, ____: unknown, onAnswer: (error: Error | null) => void): void {
    if (this.refusal) throw this.refusal;
    this.confirm.push(onAnswer);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

async function open(answerTimeoutMs = 60_000) {
  const channel = new Channel();
  const silences: string[] = [];
  const outlet = await Outlet.open({
    connection: { createConfirmChannel: () => Promise.resolve(channel) } as unknown as AmqpConnection,
    exchange: "sagaz",
    answerTimeoutMs,
    onSilence: () => silences.push("silence"),
  });
  return { channel, outlet, silences };
}

function message(id: string, topic = "t"): Outgoing {
  return toOutgoing({ topic, key: "k", headers: { ce_id: id }, payload: "p" });
}

test("only the message that is returned has an unknown topic", async () => {
  const { channel, outlet } = await open();
  const fates = [outlet.send(message("one")), outlet.send(message("two"))];
  for (const messageId of ["two", "another's"]) channel.emit("return", { properties: { messageId } });
  for (const confirm of channel.confirm) confirm(null);
  expect(await fates[0]).toBeUndefined();
  expect(await fates[1]).toMatchObject({ code: "SAGAZ_UNKNOWN_TOPIC" });
  outlet.close();
});

test("what cannot be sent is refused if the protocol has no room for it, else it is an outage", async () => {
  const { channel, outlet } = await open();
  channel.refusal = new Error("the channel is closed");
  expect(await outlet.send(message("one"))).toMatchObject({
    code: "SAGAZ_BROKER_UNAVAILABLE",
    details: { message: "the channel is closed" },
  });
  expect(await outlet.send(message("two", "t".repeat(256)))).toMatchObject({ code: "SAGAZ_MESSAGE_REFUSED" });
  outlet.close();
});

test("a channel closed over one message refuses that one, and has the others sent again", async () => {
  const { channel, outlet } = await open();
  const fates = [outlet.send(message("one", "closed")), outlet.send(message("two"))];
  const said = `ACCESS_REFUSED - access to topic 'closed' in exchange 'sagaz' in vhost '/' refused`;
  channel.emit("error", new Error(said));
  channel.emit("close");
  for (const confirm of channel.confirm) confirm(new Error("channel closed"));
  expect(await fates[0]).toMatchObject({ code: "SAGAZ_MESSAGE_REFUSED" });
  expect(await fates[1]).toBe("again");
  expect(outlet.isOpen).toBe(false);
  outlet.close();
});

test("without any answer in time the connection is told of; with answers for others it is not", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const { channel, outlet, silences } = await open(40);
  const fates = [outlet.send(message("one")), outlet.send(message("two"))];
  vi.advanceTimersByTime(10);
  channel.confirm[1]?.(null);
  expect(await fates[1]).toBeUndefined();
  vi.advanceTimersByTime(30);
  expect(await fates[0]).toMatchObject({ details: { message: "no answer within 40 ms" } });
  expect(silences).toEqual([]);
  const last = outlet.send(message("three"));
  vi.advanceTimersByTime(40);
  expect(await last).toMatchObject({ code: "SAGAZ_BROKER_UNAVAILABLE" });
  expect(silences).toEqual(["silence"]);
  outlet.close();
});
