import * as kafka from "@platformatic/kafka";
import { expect, test } from "vitest";
import type { BrokerMessage } from "../../ports/broker.ts";
import type { Access, Connections } from "./connections.ts";
import { Lane } from "./lane.ts";
import { toOutgoing } from "./outgoing.ts";
import { produce, type LaneBatch } from "./produce.ts";
import { PublishCall } from "./publish-call.ts";

const identity = { producerId: 7n, epoch: 0 };

function toLaneBatch(message: BrokerMessage, partition: number): LaneBatch {
  const lane = new Lane("t", partition);
  lane.push(toOutgoing(message, { at: 0, call: new PublishCall(1, Infinity) }));
  const batch = lane.next(identity, Infinity);
  if (!batch) throw new Error("there is no batch");
  return { lane, batch };
}

test("a message that was changed keeps none but its own partition waiting", async () => {
  const headers: Record<string, string> = { a: "1" };
  const changed = toLaneBatch({ topic: "t", key: "k", headers, payload: "p" }, 0);
  const other = toLaneBatch({ topic: "t", key: "l", headers: {}, payload: "p" }, 1);
  headers["b"] = "2";
  const accepted = { index: 1, errorCode: 0, recordErrors: [] };
  const responses = [{ name: "t", partitionResponses: [accepted] }];
  const connections = { ask: () => Promise.resolve({ responses }) } as unknown as Connections;
  const access = { kafka, answerTimeoutMs: 1_000 } as unknown as Access;
  const via = { connections, access, address: { host: "nowhere", port: 1 } };
  const answers = await produce(via, [changed, other]);
  const why = { message: expect.stringContaining("not changed while it is published") as string };
  expect(answers[0]).toMatchObject(why);
  expect(answers[1]).toBe(accepted);
  expect(await produce(via, [changed])).toMatchObject([why]);
});
