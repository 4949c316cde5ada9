import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ReceivedMessage } from "../../ports/broker.ts";
import { Tenure } from "./tenure.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

function handOver(tenure: Tenure, count: number): readonly ReceivedMessage[] {
  return Array.from({ length: count }, (_, n) => {
    const message = { topic: "t", key: "k", headers: {}, payload: new Uint8Array() };
    tenure.take(`${n + 1}-0`, message);
    return message;
  });
}

test("a place that could not be saved is saved again", () => {
  const tenure = new Tenure("t", "0-0", 0);
  const [first] = handOver(tenure, 2) as [ReceivedMessage];
  expect(tenure.next).toBe("2-0");
  expect(tenure.toSave()).toBeUndefined();
  tenure.ack(first);
  expect(tenure.unacked).toBe(1);
  expect(tenure.toSave()?.place).toBe("1-0");
  expect(tenure.toSave()).toBeUndefined();
  tenure.unsave();
  expect(tenure.toSave()?.place).toBe("1-0");
});

test("the stream is trimmed after 1,000 acknowledgements, or after 30 s when there was one", () => {
  const tenure = new Tenure("t", "0-0", 0);
  const messages = handOver(tenure, 1_001);
  for (const message of messages.slice(0, 999)) tenure.ack(message);
  expect(tenure.toSave()).toEqual({ place: "999-0", trims: false });
  tenure.ack(messages[999]!);
  expect(tenure.toSave()).toEqual({ place: "1000-0", trims: true });
  vi.advanceTimersByTime(30_001);
  expect(tenure.toSave()).toBeUndefined();
  tenure.ack(messages[1_000]!);
  expect(tenure.toSave()).toEqual({ place: "1001-0", trims: true });
  vi.advanceTimersByTime(30_001);
  expect(tenure.toSave()).toBeUndefined();
});
