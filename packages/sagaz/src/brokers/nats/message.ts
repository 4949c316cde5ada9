import type { BrokerMessage, ReceivedMessage } from "../../ports/broker.ts";
import type { NatsHeaders, NatsMessage } from "./driver.ts";

const keyHeader = "Sagaz-Key";
/** JetStream drops a message whose id it has had in the last minutes: what is sent again after a lost answer is kept once. */
const idHeader = "Nats-Msg-Id";

const unwritable = /[%\p{Cc}]|^\s|\s$/u;
const unwritables = new RegExp(unwritable, "gu");

/** Writes what is not the payload. An event's id is unique for its source, and one event may go to several topics. */
export function writeHeaders({ topic, key, headers }: BrokerMessage, written: NatsHeaders): NatsHeaders {
  written.append(keyHeader, toLine(key));
  const { ce_id: id, ce_source: source = "" } = headers;
  if (id !== undefined)
    written.append(idHeader, toLine(`${id.length}.${source.length}:${id} ${source} ${topic}`));
  for (const name of Object.keys(headers)) written.append(name, toLine(headers[name] ?? ""));
  return written;
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
  if (!unwritable.test(text)) return text;
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
