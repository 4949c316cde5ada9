import { expect, test } from "vitest";
import { fromUrl } from "./from-url.ts";

test.each([
  ["kafka://one:9092,two:9093", { servers: ["one:9092", "two:9093"] }],
  ["KAFKA://one", { servers: ["one"] }],
  ["kafkas://[::1]:9092/", { servers: ["[::1]:9092"], tls: {} }],
  [
    "kafka://me:s%40crét%3A@one:9092",
    { servers: ["one:9092"], sasl: { mechanism: "PLAIN", username: "me", password: "s@crét:" } },
  ],
  [
    "kafkas://me:secret@one:9092,two:9092?sasl=SCRAM-SHA-512",
    {
      servers: ["one:9092", "two:9092"],
      sasl: { mechanism: "SCRAM-SHA-512", username: "me", password: "secret" },
      tls: {},
    },
  ],
])("%s", (url, options) => {
  expect(fromUrl(url)).toEqual(options);
});

test.each([
  "kafka:",
  "kafka://",
  "kafka://me:secret@",
  "kafka://me:se@cret@one:9092",
  "kafka://me:secret@one:9092?sasl=magic",
  "kafka://me:secret@one:9092?sals=plain",
  "kafka://me:secret%@one:9092",
])("%s is refused without being shown", (url) => {
  expect(() => fromUrl(url)).toThrow(/SAGAZ_INVALID_OPTION(?!.*secret)/);
});
