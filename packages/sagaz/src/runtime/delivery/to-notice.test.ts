import { expect, test } from "vitest";
import { COMMAND_TYPE } from "../../core/participant/messages.ts";
import type { PendingEvent } from "../../ports/outbox.ts";
import { toNotice } from "./to-notice.ts";

const sagaId = "01890a5d-ac96-774b-bcce-b302099a8057";
const why = { code: "SAGAZ_UNKNOWN_TOPIC", error: "no such topic" };
const command = {
  sagaId,
  step: "reserve",
  command: "reserve",
  direction: "undo",
  round: 1,
  attempt: 2,
  effect: `${sagaId}/reserve`,
  idempotencyKey: `${sagaId}/reserve/undo/1`,
  replyTo: "replies",
  deadline: "2026-01-01T00:00:00.000Z",
  payload: null,
};

const pending: PendingEvent = {
  id: 1,
  createdAt: 0,
  attempts: 0,
  waitMs: 0,
  eventId: "e",
  topic: "stock-commands",
  key: sagaId,
  shard: 0,
  type: COMMAND_TYPE,
  source: "sagaz",
  aggregateType: null,
  aggregateId: null,
  correlationId: null,
  sagaId,
  traceparent: null,
  headers: null,
  payload: JSON.stringify(command),
};

const told = (event: Partial<PendingEvent>) => toNotice({ ...pending, ...event }, why);

test.each<[string, PendingEvent["payload"]]>([
  ["text", pending.payload],
  ["bytes", new TextEncoder().encode(String(pending.payload))],
])(
  "the saga is told which asking was given up, and why, also when the command was read as %s",
  (_, payload) => {
    const { body, ...mail } = told({ payload }) ?? { body: "" };
    expect(mail).toEqual({ mailId: "undelivered/e", sagaId, kind: "undelivered" });
    expect(JSON.parse(body)).toEqual({
      kind: "undelivered",
      step: "reserve",
      direction: "undo",
      round: 1,
      attempt: 2,
      error: { code: why.code, message: why.error },
    });
  },
);

test.each<[string, Partial<PendingEvent>]>([
  ["an event of another type", { type: "order.placed" }],
  ["what no saga published", { sagaId: null }],
  ["what names another saga", { payload: JSON.stringify({ ...command, sagaId: "another" }) }],
  ["what is no JSON", { payload: Uint8Array.of(0xff) }],
  ["what is no command", { payload: "{}" }],
])("nobody is told of %s", (_, event) => {
  expect(told(event)).toBeUndefined();
});
