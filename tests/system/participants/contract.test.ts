import { Redis } from "ioredis";
import { HttpInlet, HttpOutlet } from "sagaz/http";
import { RedisBroker } from "sagaz/redis";
import { participantRules, toTitle } from "sagaz/testing";
import { describe, expect, test } from "vitest";
import { findFreePort } from "../../../tools/servers/free-port.ts";
import { HttpDestination } from "../../../tools/servers/http-destination.ts";
import { waitUntil } from "../../../tools/servers/wait-until.ts";
import { useServers, type Skip } from "../delivery/servers.ts";
import { PythonParticipant, pythonTopic, whyNoPython } from "./python-participant.ts";

const servers = useServers();
let count = 0;

async function open(skip: Skip) {
  const missing = await whyNoPython();
  if (missing !== undefined) return skip(missing);
  const { url: brokerUrl } = servers.broker(skip);
  const prefix = `python-${++count}:`;
  const participant = await PythonParticipant.open({ brokerUrl, prefix });
  const client = new Redis(brokerUrl, { lazyConnect: true });
  const broker = new RedisBroker({ client, prefix });
  await broker.start();
  return {
    broker,
    topic: pythonTopic,
    replyTopic: async () => "replies",
    succeeds: { command: "reserve", payload: { sku: "bolt" } },
    fails: { command: "reserve", payload: { sku: "unobtainable" } },
    effects: (effect: string) => participant.effects(effect),
    crash: async () => {
      await participant.kill();
      await participant.start();
    },
    close: async () => {
      await broker.stop();
      await participant[Symbol.asyncDispose]();
    },
  };
}

describe("a participant in Python keeps the contract", () => {
  for (const rule of participantRules) test(toTitle(rule, []), ({ skip }) => rule.check(() => open(skip)));
});

async function openOverHttp(skip: Skip) {
  const missing = await whyNoPython();
  if (missing !== undefined) return skip(missing);
  const inlet = new HttpInlet();
  await inlet.start();
  const replies = await HttpDestination.open(async ({ path, headers, body }, response) => {
    const answer = await inlet.receive(`${replies.origin}${path}`, { headers, body });
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  const port = await findFreePort();
  const participant = await PythonParticipant.open({ port, replyOrigin: replies.origin });
  const origin = `http://127.0.0.1:${port}`;
  const outlet = new HttpOutlet({ destinations: { [origin]: {} } });
  await outlet.start();
  const crash = async () => {
    await participant.kill();
    await participant.start();
  };
  return {
    broker: outlet,
    replies: inlet,
    topic: `${origin}/commands`,
    replyTopic: async () => `${replies.origin}/replies`,
    succeeds: { command: "reserve", payload: { sku: "bolt" } },
    fails: { command: "reserve", payload: { sku: "unobtainable" } },
    effects: (effect: string) => participant.effects(effect),
    crash,
    server: replies,
    participant,
    close: async () => {
      await outlet.stop();
      await inlet.stop();
      await replies.kill();
      await participant[Symbol.asyncDispose]();
    },
  };
}

describe("a participant in Python without a broker keeps the contract", () => {
  for (const rule of participantRules)
    test(toTitle(rule, []), ({ skip }) => rule.check(() => openOverHttp(skip)));
});

test("what a participant in Python cannot send now outlives it, and goes nowhere else", async ({ skip }) => {
  const opened = await openOverHttp(skip);
  await using _ = { [Symbol.asyncDispose]: () => opened.close() };
  const { broker, topic, server, crash, participant, succeeds } = opened;
  const ask = async (step: string, replyTo: string) => {
    const command = {
      sagaId: "s",
      step,
      ...succeeds,
      direction: "do",
      round: 0,
      attempt: 1,
      effect: `s/${step}`,
    };
    const payload = JSON.stringify({ ...command, idempotencyKey: step, replyTo, deadline: "" });
    const headers = { ce_id: step, ce_type: "sagaz.command.v1", ce_subject: "s" };
    return (await broker.publish([{ topic, key: "s", headers, payload }]))[0]?.code;
  };
  await server.kill();
  expect(await ask("one", `${server.origin}/replies`)).toBeUndefined();
  await crash();
  await server.start();
  await waitUntil("the reply has come", () => server.posted.length > 0);
  expect(JSON.parse(server.posted[0]?.body ?? "")).toMatchObject({ step: "one", outcome: "done" });
  expect(await ask("two", "http://127.0.0.1:1/")).toBe("SAGAZ_MESSAGE_REFUSED");
  expect(await participant.effects("s/two")).toEqual({ done: 0, undone: 0 });
});
