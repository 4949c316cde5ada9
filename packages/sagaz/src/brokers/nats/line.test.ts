import { expect, test } from "vitest";
import type { NatsConnection, NatsMessage } from "./driver.ts";
import { Line } from "./line.ts";

interface Told {
  readonly subject: string;
  readonly reply: string;
}

/** A connection by hand: what is published on it is gathered, and what comes in is given to who listens. */
class Connection {
  readonly told: Told[] = [];
  isClosed = false;
  readonly #listeners = new Map<string, (message: NatsMessage) => void>();
  #lose: () => void = () => {};
  readonly #closed = new Promise<void>((resolve) => (this.#lose = resolve));

  publish(subject: string, _: unknown, options: { reply: string }): void {
    this.told.push({ subject, reply: options.reply });
  }

  subscribe(subject: string, options: { callback: (error: null, message: NatsMessage) => void }) {
    this.#listeners.set(subject, (message) => options.callback(null, message));
    return { unsubscribe: () => this.#listeners.delete(subject) };
  }

  closed(): Promise<void> {
    return this.#closed;
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.#lose();
    return this.#closed;
  }

  answer(subject: string, json: unknown): void {
    const data = Buffer.from(JSON.stringify(json));
    this.#listeners.get(subject.replace(/\.\d+$/, ".*"))?.({ subject, data });
  }
}

function toLine(connect: () => Promise<unknown>, answerTimeoutMs = 60_000): Line {
  return new Line({
    connect: connect as () => Promise<NatsConnection>,
    inboxPrefix: "_INBOX",
    answerTimeoutMs,
    onLost: () => {},
  });
}

async function open(answerTimeoutMs?: number): Promise<{ line: Line; connection: Connection }> {
  const connection = new Connection();
  const line = toLine(() => Promise.resolve(connection), answerTimeoutMs);
  await line.open();
  return { line, connection };
}

test("a connection that comes after the close is closed", async () => {
  const connection = new Connection();
  let give: (connection: Connection) => void = () => {};
  const line = toLine(() => new Promise((resolve) => (give = resolve)));
  const opening = line.open();
  await line.close();
  give(connection);
  await opening;
  expect(connection.isClosed).toBe(true);
  expect(() => line.send("s", "", { reply: "r" })).toThrow("the connection was lost");
  await line.close();
});

test("without a connection nobody can listen, nor ask", async () => {
  const line = toLine(() => Promise.reject(new Error("no route")));
  await expect(line.open()).rejects.toThrow(/SAGAZ_BROKER_UNAVAILABLE.*no route/);
  expect(() => line.listen(() => {})).toThrow("the connection was lost");
  await expect(line.ask("s", "{}")).rejects.toThrow("the connection was lost");
});

test("answers go to who asked, in whatever order, and a second one to nobody", async () => {
  const { line, connection } = await open();
  const asked = [line.ask("one", "{}"), line.ask("two", "{}")];
  const [one, two] = connection.told;
  if (!one || !two) throw new Error("nothing was asked");
  connection.answer(two.reply, { of: "two" });
  connection.answer(two.reply, { of: "nobody" });
  connection.answer(one.reply, { of: "one" });
  expect(await Promise.all(asked)).toEqual([{ of: "one" }, { of: "two" }]);
  await line.close();
});

test("who is not answered in time hears so, and who asked on a lost connection hears that", async () => {
  const { line, connection } = await open(20);
  await expect(line.ask("s", "{}")).rejects.toThrow("no answer came in time");
  const asked = line.ask("s", "{}");
  await Promise.all([expect(asked).rejects.toThrow("the connection was lost"), connection.close()]);
  await line.close();
});

test("of a refusal JetStream's own number counts, else its status", async () => {
  const { line, connection } = await open();
  const asked = [line.ask("s", "{}"), line.ask("s", "{}")];
  const [one, two] = connection.told;
  if (!one || !two) throw new Error("nothing was asked");
  connection.answer(one.reply, { error: { code: 404, err_code: 10_059, description: "stream not found" } });
  connection.answer(two.reply, { error: { code: 503 } });
  await expect(asked[0]).rejects.toMatchObject({ code: 10_059, message: "stream not found" });
  await expect(asked[1]).rejects.toMatchObject({ code: 503, message: "" });
  await line.close();
});

test("an answer that only tells of an error in its text is none", async () => {
  const { line, connection } = await open();
  const asked = line.ask("s", "{}");
  connection.answer(connection.told[0]?.reply ?? "", { config: ['"error"', { error: 1 }] });
  expect(await asked).toEqual({ config: ['"error"', { error: 1 }] });
  await line.close();
});
