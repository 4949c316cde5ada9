import { REDRIVEN } from "../../core/delivery/redriven-row.ts";
import type { BrokerMessage, ReceivedMessage } from "../../ports/broker.ts";
import type { NatsMessage } from "./driver.ts";
import { UnwritableHeader } from "./errors.ts";

const keyHeader = "Sagaz-Key";
/** JetStream drops a message whose id it has had in the last minutes: what is sent again after a lost answer is kept once. */
const idHeader = "Nats-Msg-Id";

const unwritable = /[%\p{Cc}]|^\s|\s$/u;
/** Most texts are: it is looked for first, because that is quick. */
const plain = /^(?:[!-$&-~](?:[ -$&-~]*[!-$&-~])?)?$/;
const unwritables = new RegExp(unwritable, "gu");

/** As the driver demands it of a name: visible ASCII without the colon. */
const writableName = /^[!-9;-~]*$/;

/**
 * What is not the payload, as it goes over the wire. An event's id is unique for its source, and one event may go to
 * several topics. What is redriven goes without: it is to come once more, however short the time since it was a dead letter.
 *
 * @throws UnwritableHeader.
 */
export function writeHeaders({ topic, key, headers }: BrokerMessage): Uint8Array {
  let lines = `NATS/1.0\r\n${keyHeader}: ${toLine(key)}\r\n`;
  const { ce_id: id, ce_source: source = "" } = headers;
  if (id !== undefined && headers[REDRIVEN] === undefined)
    lines += `${idHeader}: ${toLine(`${id.length}.${source.length}:${id} ${source} ${topic}`)}\r\n`;
  for (const name of Object.keys(headers)) {
    if (!writableName.test(name)) throw new UnwritableHeader(name);
    lines += `${name}: ${toLine(headers[name] ?? "")}\r\n`;
  }
  return Buffer.from(`${lines}\r\n`);
}

/** The message as it was. What somebody else has published to the topic's subject comes with an empty key. */
export function toReceived(topic: string, { headers, data }: NatsMessage): ReceivedMessage {
  // Names of ours are in lower case; the server's own are not.
  const names = headers?.keys().filter((name) => name === name.toLowerCase()) ?? [];
  const received = Object.fromEntries(names.map((name) => [name, fromLine(headers?.get(name) ?? "")]));
  return { topic, key: fromLine(headers?.get(keyHeader) ?? ""), headers: received, payload: data };
}

/**
 * A header is one line without blanks around it. As CloudEvents does in HTTP, what cannot stand there is written in
 * hexadecimal, and so is the sign for that; all else, Unicode included, stays readable.
 */
function toLine(text: string): string {
  if (plain.test(text) || !unwritable.test(text)) return text;
  return text.replace(unwritables, (char) =>
    Array.from(Buffer.from(char), (byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
  );
}

function fromLine(line: string): string {
  if (!line.includes("%")) return line;
  return line.replace(/(?:%[\da-f]{2})+/gi, (bytes) =>
    Buffer.from(bytes.replaceAll("%", ""), "hex").toString(),
  );
}
