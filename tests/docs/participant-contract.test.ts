import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { parse } from "yaml";
import { expect, test } from "vitest";
import {
  fail,
  InMemoryBroker,
  InMemoryStorage,
  OutboxWorker,
  Participant,
  saga,
  SagaOrchestrator,
  type ReceivedMessage,
} from "sagaz";
import { HttpInlet, HttpOutlet } from "sagaz/http";
import { HttpDestination } from "../../tools/servers/http-destination.ts";
import { waitUntil } from "../../tools/servers/wait-until.ts";
import { read } from "../tidy/repository.ts";

const page = "docs/reference/participant-contract.asyncapi.yaml";
const contract = parse(read(page)) as {
  readonly asyncapi: string;
  readonly components: { readonly messages: Record<string, { readonly name: string }> };
};

/** Checks a message's headers and payload by the document's schemas, by its `ce_type`. */
function makeCheck() {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(contract, "contract");
  return ({ headers, payload }: { headers: object; payload: unknown }): unknown[] => {
    const type = (headers as Record<string, string>)["ce_type"];
    const [name] = Object.entries(contract.components.messages).find(([, one]) => one.name === type) ?? [];
    if (name === undefined) return [`no message is named ${type}`];
    return ["headers", "payload"].flatMap((part): unknown[] => {
      const schema = { $ref: `contract#/components/messages/${name}/${part}` };
      const validate = ajv.compile(schema);
      return validate(part === "headers" ? headers : payload) ? [] : (validate.errors ?? []);
    });
  };
}

function toRead(message: ReceivedMessage): { headers: object; payload: unknown } {
  return { headers: message.headers, payload: JSON.parse(new TextDecoder().decode(message.payload)) };
}

test("every reference of the document leads somewhere", () => {
  const references = [...read(page).matchAll(/\$ref: "#\/([^"]+)"/g)].map(([, path]) => path!);
  expect(references.length).toBeGreaterThan(10);
  const at = (path: string) =>
    path
      .split("/")
      .reduce<unknown>((place, name) => (place as Record<string, unknown> | undefined)?.[name], contract);
  expect(references.filter((path) => at(path) === undefined)).toEqual([]);
  expect(contract.asyncapi).toBe("3.0.0");
});

test("what orchestrator and participant say is as the document has it", async () => {
  const order = saga("order")
    .command("reserve", { topic: "inventory-commands", payload: () => ({ sku: "a" }), undo: () => null })
    .command("charge", { after: ["reserve"], topic: "inventory-commands", payload: () => null })
    .build();
  const broker = new InMemoryBroker();
  const beside = () => new InMemoryBroker({ beside: broker });
  const storage = new InMemoryStorage();
  const orchestrator = new SagaOrchestrator({
    storage,
    sagas: [order],
    replies: { topic: "replies", broker: beside() },
  });
  const participant = new Participant({
    storage,
    broker: beside(),
    name: "inventory",
    commands: {
      reserve: { do: () => ({ id: 1 }), undo: () => {} },
      charge: {
        do: () => {
          throw fail("card declined", { left: 3 });
        },
      },
    },
  });
  const relay = new OutboxWorker({ storage, broker: beside() });
  await broker.start();
  const messages: ReceivedMessage[] = [];
  const topics = ["inventory-commands", "replies"];
  const handle = (some: readonly ReceivedMessage[]) => void messages.push(...some);
  await broker.subscribe({ group: "test", topics, unackedMax: 1_000, handle });
  for (const one of [orchestrator, participant, relay]) await one.start();
  const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
  const { result } = await orchestrator.sagas.start(order, null, { headers, correlationId: "c" });
  expect(await result()).toMatchObject({ status: "compensated" });
  await waitUntil("all has been said", () => messages.length === 6);
  for (const one of [orchestrator, participant, relay, broker]) await one.stop();

  const check = makeCheck();
  expect(messages.map(toRead).flatMap(check)).toEqual([]);
  for (const message of messages)
    expect(message.headers).toMatchObject({ "correlation-id": "c", traceparent: headers.traceparent });
  const [some] = messages.map(toRead);
  const wrong = { ...some!, payload: { ...(some!.payload as object), direction: "sideways" } };
  expect(check(wrong)).not.toEqual([]); // it can tell
});

test("over HTTP it is said in the names of the binding", async () => {
  const inlet = new HttpInlet();
  const commands = await HttpDestination.open(async ({ headers, body }, response) => {
    response.writeHead((await inlet.receive("inventory-commands", { headers, body })).status).end();
  });
  const replies = await HttpDestination.open(async ({ body }, response) => {
    await orchestrator.sagas.reply(JSON.parse(body));
    response.end();
  });
  const topic = `${commands.origin}/commands`;
  const order = saga("order")
    .command("reserve", { topic, payload: () => null })
    .build();
  const storage = new InMemoryStorage();
  const url = `${replies.origin}/replies`;
  const orchestrator = new SagaOrchestrator({ storage, sagas: [order], replies: { url } });
  const handlers = { reserve: { do: () => ({ id: 1 }) } };
  const participant = new Participant({ storage, broker: inlet, name: "inventory", commands: handlers });
  const destinations = { [commands.origin]: {}, [replies.origin]: {} };
  const relay = new OutboxWorker({ storage, broker: new HttpOutlet({ destinations }) });
  for (const one of [orchestrator, participant, relay]) await one.start();
  const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
  const { result } = await orchestrator.sagas.start(order, null, { headers, correlationId: "größe" });
  expect(await result()).toMatchObject({ status: "completed" });
  for (const one of [orchestrator, participant, relay]) await one.stop();
  for (const one of [commands, replies]) await one.kill();

  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(contract, "contract");
  const complain = (part: string, value: unknown): unknown[] => {
    const validate = ajv.compile({ $ref: `contract#/components/messages/${part}` });
    return validate(value) ? [] : (validate.errors ?? []);
  };
  for (const [name, [posted]] of Object.entries({ command: commands.posted, reply: replies.posted })) {
    expect(complain(`${name}/bindings/http/headers`, posted?.headers)).toEqual([]);
    expect(complain(`${name}/payload`, JSON.parse(posted?.body ?? ""))).toEqual([]);
    expect(posted?.headers).toMatchObject({ "correlation-id": "gr%C3%B6%C3%9Fe", ...headers });
    expect(complain(`${name}/bindings/http/headers`, { ...posted?.headers, "ce-type": "x" })).not.toEqual([]);
  }
});
