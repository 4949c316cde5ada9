import { describe, expect, test } from "vitest";
import { fromDelivery, toOutgoing, whyUnfit } from "./messages.ts";

const message = { topic: "t", key: "k", headers: {}, payload: "p" };
const toDelivery = (headers: Record<string, unknown> | undefined) => ({
  content: new Uint8Array([1]),
  fields: { deliveryTag: 1 },
  properties: { headers },
});

describe("what goes out", () => {
  test("has the event's id, if the protocol has room for it, else one that nobody else has", () => {
    const toId = (headers: Record<string, string>) => toOutgoing({ ...message, headers }).options.messageId;
    expect(toId({ ce_id: "event-1" })).toBe("event-1");
    expect(toId({ ce_id: "é".repeat(127) })).toBe("é".repeat(127));
    const others = [{}, {}, { ce_id: "" }, { ce_id: "é".repeat(128) }].map(toId);
    expect(new Set(others).size).toBe(others.length);
    for (const id of others) expect(id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("carries the key beside the headers, and the bytes of a part of a buffer only", () => {
    const part = new Uint8Array([0, 1, 2, 3]).subarray(1, 3);
    const { content, options } = toOutgoing({ ...message, headers: { a: "1" }, payload: part });
    expect([...content]).toEqual([1, 2]);
    expect(options.headers).toEqual({ a: "1", "sagaz-key": "k" });
  });

  test("fits into the protocol, or it is said why not", () => {
    const why = (change: Partial<typeof message>) => whyUnfit(toOutgoing({ ...message, ...change }));
    expect(why({})).toBeUndefined();
    expect(why({ topic: "é".repeat(127) })).toBeUndefined();
    expect(why({ topic: "é".repeat(128) })).toMatch(/topic is longer than 255 bytes/);
    expect(why({ headers: { ["n".repeat(256)]: "" } })).toMatch(/name of a header is longer than 255 bytes/);
    expect(why({ headers: { a: "x".repeat(66_000) } })).toMatch(/headers take more than 65536 bytes/);
  });
});

describe("what comes in", () => {
  test("has its key and headers as they went out", () => {
    const headers = { ce_id: "1", "x-note": "größer → 🎉", "sagaz-key": "k" };
    expect(fromDelivery("t", toDelivery(headers))).toEqual({
      topic: "t",
      key: "k",
      headers: { ce_id: "1", "x-note": "größer → 🎉" },
      payload: new Uint8Array([1]),
    });
  });

  test("is read as far as it can be when others have sent it", () => {
    const foreign = {
      Count: 3,
      flag: true,
      big: 2n ** 60n,
      "x-death": [{}],
      none: null,
      "x-delivery-count": 2,
    };
    const { key, headers } = fromDelivery("t", toDelivery(foreign));
    expect(key).toBe("");
    expect(headers).toEqual({ count: "3", flag: "true", big: "1152921504606846976" });
    expect(fromDelivery("t", toDelivery(undefined)).headers).toEqual({});
  });
});
