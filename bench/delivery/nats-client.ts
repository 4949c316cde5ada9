import { connect, createInbox, headers as makeHeaders, nanos } from "@nats-io/transport-node";
import type { BareClient } from "./bare-client.ts";

const stream = "bench";

/** All of a batch is sent at once, and its acknowledgements are counted as they come to one inbox. */
export async function openNats(url: string): Promise<BareClient> {
  const nats = await connect({ servers: url });
  const config = { name: stream, subjects: [`${stream}.>`], storage: "file", max_age: nanos(86_400_000) };
  await nats.request(`$JS.API.STREAM.CREATE.${stream}`, JSON.stringify(config));
  const inbox = createInbox();
  let missing = 0;
  let settle: { resolve(): void; reject(error: Error): void } | undefined;
  nats.subscribe(inbox, {
    callback: (failure, message) => {
      const { error } = failure ? { error: failure } : message.json<{ error?: object }>();
      if (error) settle?.reject(new Error(JSON.stringify(error), { cause: failure }));
      missing -= 1;
      if (missing === 0) settle?.resolve();
    },
  });
  return {
    publish: (messages) =>
      new Promise<void>((resolve, reject) => {
        missing = messages.length;
        settle = { resolve, reject };
        for (const { topic, key, headers, payload } of messages) {
          const written = makeHeaders();
          written.append("key", key);
          for (const [name, value] of Object.entries(headers)) written.append(name, value);
          if (headers["ce_id"] !== undefined) written.append("Nats-Msg-Id", headers["ce_id"]);
          nats.publish(`${stream}.${topic}`, payload, { reply: inbox, headers: written });
        }
      }),
    close: () => nats.close(),
  };
}

/** Deletes every stream with all it holds. */
export async function purgeNats(url: string): Promise<void> {
  const nats = await connect({ servers: url });
  const list = await nats.request("$JS.API.STREAM.NAMES");
  const { streams } = list.json<{ streams: readonly string[] | null }>();
  for (const name of streams ?? []) await nats.request(`$JS.API.STREAM.DELETE.${name}`);
  await nats.close();
}
