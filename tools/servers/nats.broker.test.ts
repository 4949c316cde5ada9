import { expect, onTestFinished, test } from "vitest";
import { askServer } from "./ask-server.ts";
import { testLauncher } from "./broker-rules.ts";
import { findNats, natsUrlVariable, startNats } from "./nats.ts";
import type { TestBroker } from "./scratch-broker.ts";

async function hears(broker: TestBroker, lines: string, answer: RegExp): Promise<boolean> {
  return (await askServer(broker.port, lines, answer)) !== undefined;
}

/** Sends a request whose answer comes as a message. */
function toRequest(subject: string, payload: string): string {
  return `CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB ${subject} answer ${payload.length}\r\n${payload}\r\n`;
}

testLauncher("NATS", {
  file: "nats.ts",
  find: findNats,
  start: startNats,
  variable: natsUrlVariable,
  answers: (broker) => hears(broker, `CONNECT {"verbose":false}\r\nPING\r\n`, /^PONG/m),
  put: async (broker) =>
    (await hears(
      broker,
      toRequest("$JS.API.STREAM.CREATE.KEPT", `{"name":"KEPT","subjects":["kept"]}`),
      /"did_create":true/,
    )) && hears(broker, toRequest("kept", "yes"), /"seq":1/),
  has: (broker) => hears(broker, toRequest("$JS.API.STREAM.INFO.KEPT", ""), /"messages":1/),
});

test.for([{ token: "sesame" }, { user: "ali", password: "sesame" }])(
  "a NATS with a login asks for it: %o",
  async (login, { skip }) => {
    const found = await findNats({ own: true });
    if ("missing" in found) return skip(found.missing);
    const broker = await startNats(found, { login });
    onTestFinished(() => broker.stop());
    expect(broker.url).toBe(`nats://${Object.values(login).join(":")}@127.0.0.1:${broker.port}`);
    expect(await hears(broker, `CONNECT {}\r\nPING\r\n`, /Authorization Violation/)).toBe(true);
  },
);
