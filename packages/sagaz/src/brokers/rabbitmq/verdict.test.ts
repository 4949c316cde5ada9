import { expect, test } from "vitest";
import { toOutgoing } from "./messages.ts";
import { toVerdict } from "./verdict.ts";

/** As the driver tells what the server has said. */
const toError = (code: string, said: string) =>
  new Error(`Channel closed by server: ${code} with message "${said}"`);
const toMessage = (topic: string, bytes: number) =>
  toOutgoing({ topic, key: "k", headers: {}, payload: new Uint8Array(bytes) });

test.each(["configured max size", "max size"])("a message that is larger than the %s is found", (limit) => {
  const said = `PRECONDITION_FAILED - message size 300 is larger than ${limit} 200`;
  const verdict = toVerdict(toError("406 (PRECONDITION-FAILED)", said));
  expect(verdict?.bytesMax).toBe(200);
  expect(verdict?.why).toContain(said);
  expect([199, 200, 201].map((bytes) => verdict?.isAbout(toMessage("t", bytes)))).toEqual([
    false,
    false,
    true,
  ]);
});

test.each(["access", "write access"])("a message whose topic refuses %s is found", (access) => {
  const said = `ACCESS_REFUSED - ${access} to topic 'it's.closed' in exchange 'sagaz' in vhost '/' refused for user 'u'`;
  const verdict = toVerdict(toError("403 (ACCESS-REFUSED)", said));
  expect(verdict?.bytesMax).toBeUndefined();
  expect(["it's.closed", "open"].map((topic) => verdict?.isAbout(toMessage(topic, 1)))).toEqual([
    true,
    false,
  ]);
});

test("an error about no single message is none", () => {
  for (const said of [
    "NOT_FOUND - no exchange 'sagaz' in vhost '/'",
    "ACCESS_REFUSED - access to exchange 'sagaz' in vhost '/' refused for user 'u'",
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out",
  ])
    expect(toVerdict(toError("4xx", said))).toBeUndefined();
});
