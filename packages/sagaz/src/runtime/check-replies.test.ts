import { expect, test } from "vitest";
import { InMemoryBroker } from "../brokers/memory/index.ts";
import { saga } from "../core/definition/builder.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import type { RepliesOptions } from "./delivery/reply-receiver.ts";
import { SagaOrchestrator } from "./orchestrator.ts";

const commandTo = (topic: string) =>
  saga("order")
    .command("reserve", { topic, payload: () => null })
    .build();
const toTopic = commandTo("inventory-commands");
const toUrl = commandTo("https://inventory.example.com/commands");
const url = "https://orders.example.com/replies";

const make = (sagas: readonly (typeof toTopic)[], replies?: RepliesOptions) => () =>
  new SagaOrchestrator({ storage: new InMemoryStorage(), sagas, ...(replies ? { replies } : {}) });

test("replies come the way that commands go", () => {
  expect(make([toTopic])).toThrow(/replies\.topic.*has command steps: name the topic/);
  expect(make([toUrl])).toThrow(/replies\.url.*has commands to a URL: name the URL/);
  expect(make([toTopic], { url })).toThrow(/replies\.topic/);
  expect(make([toUrl], { topic: "replies" })).toThrow(/replies\.url/);
  expect(make([toUrl], { url })).not.toThrow();
  expect(make([toTopic], { topic: "replies" })).not.toThrow();
});

test("a broker brings replies from a topic; a URL is one, and holds no credentials", () => {
  expect(make([toUrl], { url, broker: new InMemoryBroker() })).toThrow(/replies\.topic.*name it/);
  expect(make([toUrl], { url: "orders" })).toThrow(/replies\.url.*http or https URL/);
  expect(make([toUrl], { url: "https://u:secret@a/" })).toThrow(/replies\.url.*credentials/);
  expect(make([toUrl], { url: "https://u:secret@a/" })).not.toThrow("secret");
});

test("a command's URL is checked when the saga is defined", () => {
  expect(() => commandTo("https://u:secret@a/")).toThrow(/SAGAZ_INVALID_OPTION.*credentials/);
  expect(() => commandTo("https://u:secret@a/")).not.toThrow("secret");
  expect(() => commandTo("a b")).toThrow(/or a URL/);
});
