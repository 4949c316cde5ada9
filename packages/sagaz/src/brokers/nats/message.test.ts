import { headers as makeHeaders, type MsgHdrs } from "@nats-io/transport-node";
import fc from "fast-check";
import { expect, test } from "vitest";
import { toReceived, writeHeaders } from "./message.ts";

/** As it goes over the line. */
function write(key: string, headers: Record<string, string>): string {
  return Buffer.from(writeHeaders({ topic: "t", key, headers, payload: "" })).toString();
}

/** There and back, as the driver and the server do it: as the lines of text that they are. */
function carry(written: string): MsgHdrs {
  const lines = written.split("\r\n").slice(1, -2);
  const carried = makeHeaders();
  for (const line of lines)
    carried.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1));
  return carried;
}

test("what can be read stays readable, and an event's id is told to the server", () => {
  const written = write("kéy 🔑", { ce_id: "1", ce_source: "shop", "x-note": "100 %\n" });
  expect(written).toBe(
    "NATS/1.0\r\nSagaz-Key: kéy 🔑\r\nNats-Msg-Id: 1.4:1 shop t\r\nce_id: 1\r\nce_source: shop\r\nx-note: 100 %25%0a\r\n\r\n",
  );
});

test("whatever is in keys and headers arrives as it was", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.string({
      unit: fc.constantFrom(" ", "\n", "\r", "%", "0", "a", ":", "\u00a0", "\ufeff", "\u2028", "é"),
    }),
  );
  const name = fc.stringMatching(/^[a-z0-9_-]+$/);
  fc.assert(
    fc.property(text, fc.dictionary(name, text), (key, headers) => {
      const received = toReceived("t", {
        subject: "s",
        data: new Uint8Array(),
        headers: carry(write(key, headers)),
      });
      expect(received).toEqual({ topic: "t", key, headers: { ...headers }, payload: new Uint8Array() });
    }),
    { numRuns: 2_000 },
  );
});

test.each(["with space", "with:colon", "größe", "\n"])("a header cannot be called %j", (name) => {
  expect(() => write("k", { [name]: "x" })).toThrow("no name of a header");
});

test("what others publish needs no headers", () => {
  expect(toReceived("t", { subject: "s", data: Buffer.from("x") })).toEqual({
    topic: "t",
    key: "",
    headers: {},
    payload: Buffer.from("x"),
  });
});
