import { describe, expect, test } from "vitest";
import { toOutboxRow } from "./outbox-event.ts";
import { isUrl, toKey, toShown, URL_LANES, whyNoUrl } from "./url-topic.ts";

test("a topic is a URL, or the name of one that brokers have", () => {
  expect(["https://a", "http://a/b?c", "HTTPS://a", "http:"].map(isUrl)).toEqual([true, true, true, true]);
  expect(["orders", "https", "http.orders", "https-orders"].map(isUrl)).toEqual([false, false, false, false]);
});

describe("what can be posted to", () => {
  test.each(["http://a", "https://a.example.com:8080/b/c?d=e&f=%20", "http://[::1]:80/", "https://a?b"])(
    "%s",
    (url) => expect(whyNoUrl(url)).toBeUndefined(),
  );

  test.each([
    ["https://user:secret@a.example.com/", "credentials"],
    ["https://secret@a", "credentials"],
    ["https://a.example.com/#part", "fragment"],
    ["https://a.example.com/a b", "spaces"],
    ["HTTPS://a.example.com", "http or https URL"],
    ["https:/a", "http or https URL"],
    ["https://", "http or https URL"],
    ["https://a/ö", "http or https URL"],
    [`https://a/${"b".repeat(200)}`, "200 characters"],
  ])("not %s", (url, why) => expect(whyNoUrl(url)).toContain(why));
});

test("people see neither credentials nor what follows the path", () => {
  expect(toShown("https://a.example.com/b?token=secret")).toBe("https://a.example.com/b");
  expect(toShown("https://user:secret@a.example.com/b#secret")).toBe("https://a.example.com/b");
  const event = { topic: "https://user:secret@a/?secret", type: "t", payload: {} };
  const write = () => toOutboxRow(event, { newId: () => "id", source: "/", bytesMax: 100 });
  expect(write).toThrow(/SAGAZ_INVALID_EVENT.*credentials/);
  expect(write).not.toThrow("secret");
});

test("keys of a URL share its lanes, the same for ever: they are stored; those of a topic are as they were", () => {
  const url = "https://a.example.com/";
  const keys = Array.from({ length: 1_000 }, (_, n) => toKey(url, `saga ${n}`));
  expect(new Set(keys).size).toBe(URL_LANES);
  expect(toKey(url, "saga 1")).toMatchInlineSnapshot(`"6 https://a.example.com/"`);
  expect(toKey("orders", "saga 1")).toBe("saga 1");
  const row = toOutboxRow(
    { topic: url, key: "saga 1", type: "t", payload: {} },
    { newId: () => "id", source: "/", bytesMax: 100 },
  );
  expect(row).toMatchObject({ topic: url, key: toKey(url, "saga 1") });
});
