import { setTimeout as after } from "node:timers/promises";

/**
 * Calls a service that is some way off: there and back it takes between 30 and 250 ms, always the same for the same key.
 * Whoever dies while the answer is on its way does not know what happened.
 */
export async function overNetwork<T>(key: string, call: () => Promise<T>): Promise<T> {
  const ms = 30 + (hash(key) % 220);
  await after(ms);
  const answer = await call();
  await after(ms);
  return answer;
}

function hash(text: string): number {
  let hashed = 0;
  for (const character of text) hashed = (hashed * 31 + character.charCodeAt(0)) % 9_973;
  return hashed;
}

/** What a client sees when the line breaks: it cannot know whether its request was carried out. */
export function brokenLine(): Error {
  return Object.assign(new Error("the connection to the payment provider broke"), { code: "ECONNRESET" });
}

/** No answer comes, until the caller gives up. */
export async function silence(signal: AbortSignal): Promise<never> {
  await after(60_000, undefined, { signal });
  throw brokenLine();
}
