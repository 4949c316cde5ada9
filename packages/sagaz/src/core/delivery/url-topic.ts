import { shardOf } from "./shard.ts";

/** So many messages at a time go to one URL at most, from all relays together. Part of what is stored. */
export const URL_LANES = 16;

/** As of any topic: part of what is stored. */
const URL_LENGTH_MAX = 200;

/** An `http` or `https` URL without credentials, which would be shown wherever a topic is, and without a fragment. */
const PLAIN_URL = /^https?:\/\/[^\s/?#@\\]+([/?][!-"$-~]*)?$/;

/** What is like a URL is never the name of a broker's topic: those have no colon. */
export function isUrl(topic: string): boolean {
  return /^https?:/i.test(topic);
}

/** Why nothing can be posted to a topic that is like a URL; undefined when it can be. */
export function whyNoUrl(topic: string): string | undefined {
  if (topic.length > URL_LENGTH_MAX) return `a URL has ${URL_LENGTH_MAX} characters at most`;
  if (/^[^/]*\/\/[^/]*@/.test(topic))
    return "credentials have no place in it: give the HttpOutlet headers for it";
  return PLAIN_URL.test(topic) ? undefined : "it must be an http or https URL without spaces or a fragment";
}

/** A URL as people may see it: what follows the path may be a secret. */
export function toShown(url: string): string {
  return url.replace(/[?#].*$/s, "").replace(/\/\/[^/]*@/, "//");
}

/**
 * The key under which an event is stored. Those for a URL share a few lanes: while it is away a few keys stand still, however
 * much waits, and so much at a time is all that it ever gets. Of what has the same key the order stays.
 */
export function toKey(topic: string, key: string): string {
  return isUrl(topic) ? `${shardOf(key, URL_LANES)} ${topic}` : key;
}
