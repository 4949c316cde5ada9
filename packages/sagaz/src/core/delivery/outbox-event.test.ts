import { describe, expect, test } from "vitest";
import { fromMessage, toHeaders } from "./envelope.ts";
import { toOutboxRow } from "./outbox-event.ts";
import type { OutboxEvent } from "./outbox-event.ts";
import { shardOf } from "./shard.ts";

const defaults = { newId: () => "id-1", source: "orders", bytesMax: 100 };
const event: OutboxEvent = { topic: "orders", type: "order.placed", payload: { total: 1.5 } };

describe("an event", () => {
  test("without a key is its own", () => {
    expect(toOutboxRow(event, defaults)).toEqual({
      eventId: "id-1",
      topic: "orders",
      key: "id-1",
      shard: shardOf("id-1", 64),
      type: "order.placed",
      source: "orders",
      aggregateType: null,
      aggregateId: null,
      correlationId: null,
      sagaId: null,
      traceparent: null,
      headers: null,
      payload: '{"total":1.5}',
    });
  });

  test("with headers that are empty has none", () => {
    expect(toOutboxRow({ ...event, headers: {} }, defaults).headers).toBeNull();
  });

  test("of a saga has its key, subject, correlation and trace, unless it says otherwise", () => {
    const saga = {
      ...defaults,
      sagaId: "saga-1",
      aggregateType: "trip",
      correlationId: "c-1",
      traceparent: "t-1",
    };
    expect(toOutboxRow(event, saga)).toMatchObject({
      key: "saga-1",
      aggregateId: "saga-1",
      aggregateType: "trip",
      sagaId: "saga-1",
      correlationId: "c-1",
      traceparent: "t-1",
    });
    const own = {
      key: "k",
      aggregateId: "a",
      aggregateType: "b",
      correlationId: "c",
      traceparent: "d",
    };
    expect(toOutboxRow({ ...event, ...own, id: "e" }, saga)).toMatchObject({ ...own, eventId: "e" });
  });

  test("that is none, or has a member that is misspelt, is refused", () => {
    const misspelt = { ...event, Key: "4711" };
    expect(() => toOutboxRow(misspelt, defaults)).toThrow('Did you mean "key"?');
    expect(() => toOutboxRow(undefined as never, defaults)).toThrow("it must be an object");
  });

  test.each<[what: string, wrong: object]>([
    ["topic", { topic: "" }],
    ["topic", { topic: "with space" }],
    ["topic", { topic: "a/b" }],
    ["topic", { topic: "x".repeat(201) }],
    ["topic", { topic: 7 }],
    ["type", { type: undefined }],
    ["type", { type: "x".repeat(201) }],
    ["key", { key: "" }],
    ["key", { key: "x".repeat(501) }],
    ["key", { key: "a\0b" }],
    ["key", { key: "half \ud800" }],
    ["id", { id: "a\nb" }],
    ["id", { id: "x".repeat(201) }],
    ["aggregateId", { aggregateId: "" }],
    ["correlationId", { correlationId: "a\u007fb" }],
    ["contentType", { contentType: "" }],
    ["header", { headers: { "X-Upper": "v" } }],
    ["header", { headers: { "": "v" } }],
    ["header", { headers: { ce_id: "v" } }],
    ["header", { headers: { traceparent: "v" } }],
    ["header", { headers: { note: "line\nbreak" } }],
    ["header", { headers: { note: 7 } }],
    ["header", { headers: { note: "half \ud800" } }],
    ["headers", { headers: { note: "x".repeat(8_192) } }],
  ])("with a bad %s is refused: %j", (what, wrong) => {
    const call = () => toOutboxRow({ ...event, ...wrong }, defaults);
    expect(call).toThrow(expect.objectContaining({ code: "SAGAZ_INVALID_EVENT" }) as Error);
    expect(call).toThrow(`its ${what} is`);
  });

  test("whose payload is no JSON, or too large, is refused", () => {
    const withPayload = (payload: unknown) => () => toOutboxRow({ ...event, payload }, defaults);
    expect(withPayload(undefined)).toThrow("SAGAZ_NOT_JSON");
    expect(withPayload({ at: new Date(0) })).toThrow("SAGAZ_NOT_JSON");
    expect(withPayload(1n)).toThrow("SAGAZ_NOT_JSON");
    expect(withPayload("x".repeat(99))).toThrow("SAGAZ_PAYLOAD_TOO_LARGE");
    expect(withPayload("x".repeat(98))).not.toThrow();
    expect(withPayload(new Uint8Array(101))).toThrow("SAGAZ_PAYLOAD_TOO_LARGE");
    expect(withPayload(null)).not.toThrow();
  });

  test("of bytes is kept as it was when it was given", () => {
    const payload = Uint8Array.of(1, 2, 3);
    const row = toOutboxRow({ ...event, payload }, defaults);
    payload.fill(0);
    expect(row.payload).toEqual(Uint8Array.of(1, 2, 3));
    expect(row.headers).toBe('{"content-type":"application/octet-stream"}');
  });
});

describe("an envelope", () => {
  test("has the attributes of CloudEvents, and what the event adds", () => {
    const bare = toOutboxRow(event, defaults);
    expect(toHeaders(bare, 1_000)).toEqual({
      ce_specversion: "1.0",
      ce_id: "id-1",
      ce_type: "order.placed",
      ce_source: "orders",
      ce_time: "1970-01-01T00:00:01.000Z",
      "content-type": "application/json",
    });
    const more = { aggregateId: "4711", correlationId: "c", traceparent: "t", contentType: "text/plain" };
    const full = toOutboxRow(
      { ...event, ...more, headers: { note: "größer" } },
      { ...defaults, sagaId: "s" },
    );
    expect(toHeaders(full, 0)).toMatchObject({
      ce_subject: "4711",
      "correlation-id": "c",
      "saga-id": "s",
      traceparent: "t",
      "content-type": "text/plain",
      note: "größer",
    });
  });

  test.each([
    ["a time", "2026-11-27T12:00:00.5Z", Date.UTC(2026, 10, 27, 12, 0, 0, 500)],
    ["none", undefined, undefined],
    ["no time", "yesterday", undefined],
    ["one that no database has to know", "+010000-01-01T00:00:00Z", undefined],
    ["one before all of them", "0001-01-01T00:00:00+01:00", undefined],
  ])("says when it was written: %s", (_, time, createdAt) => {
    const headers = { ce_id: "1", ...(time === undefined ? {} : { ce_time: time }) };
    expect(fromMessage({ topic: "t", key: "k", headers, payload: "" }).createdAt).toBe(createdAt);
  });
});
