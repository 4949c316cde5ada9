import { expect, test } from "vitest";
import { StatementCounter } from "./wire-count.ts";

function message(type: string, body: string): Buffer {
  const text = Buffer.from(body, "latin1");
  const head = Buffer.alloc(type.length + 4);
  head.write(type, "latin1");
  head.writeInt32BE(text.length + 4, type.length);
  return Buffer.concat([head, text]);
}

// What a client sends: start-up, a simple query, then parse, bind, describe, execute, sync, and its farewell.
// The bodies hold the letters Q and E, which must not be taken for messages.
const conversation = Buffer.concat([
  message("", "QE user QE"),
  message("Q", "SELECT 'QQQEEE'\0"),
  ...["P", "B", "D", "E", "S"].map((type) => message(type, "QE")),
  message("X", ""),
]);

test.each([1, 2, 3, 7, conversation.length])(
  "two statements are counted when the wire brings %i bytes at a time",
  (size) => {
    const counter = new StatementCounter();
    for (let at = 0; at < conversation.length; at += size) counter.take(conversation.subarray(at, at + size));
    expect(counter.count).toBe(2);
  },
);
