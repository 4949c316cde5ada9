import type { Headers as Envelope } from "../../core/delivery/envelope.ts";

/** What HTTP itself says of a request: never taken from an event. */
const HTTPS_OWN = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What is kept of a request's headers; the others may hold who asks, and his password. */
const KEPT =
  /^(ce[-_][a-z0-9]+|content-type|traceparent|correlation-id|causation-id|saga-id|flow-role|sagaz-[\w-]+)$/;

/**
 * An event's headers in the names of the binding of CloudEvents to HTTP, in binary mode (`ce_id` is `ce-id`, as proxies drop
 * names with an underscore), with the characters escaped that no header can hold.
 */
export function toHttpHeaders(envelope: Envelope): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(envelope)) {
    if (HTTPS_OWN.has(name)) continue;
    const isAttribute = name.startsWith("ce_");
    // CloudEvents 1.0.2, HTTP binding, 3.1.3.2: of an attribute also the space and the quotation mark.
    const kept = isAttribute ? /[^!#$&-~]/gu : /[^ -$&-~]/gu;
    // Half of a surrogate pair, which cannot be escaped, is never in an event.
    headers[isAttribute ? `ce-${name.slice(3)}` : name] = value
      .toWellFormed()
      .replace(kept, encodeURIComponent);
  }
  return headers;
}

/** A request's headers, whichever way a framework hands them over, as an event's headers. */
export function fromHttpHeaders(headers: HttpHeaders): Envelope {
  const pairs = headers instanceof Headers ? [...headers] : Object.entries(headers);
  const envelope: Record<string, string> = {};
  for (const [raw, value] of pairs) {
    const name = raw.toLowerCase();
    const text = typeof value === "object" ? value.join(", ") : value;
    if (text === undefined || !KEPT.test(name)) continue;
    const isAttribute = /^ce[-_]/.test(name);
    envelope[isAttribute ? `ce_${name.slice(3)}` : name] = decode(text);
  }
  return envelope;
}

/** Headers as `fetch`, `node:http` and what builds on it have them. */
export type HttpHeaders = Headers | Readonly<Record<string, string | readonly string[] | undefined>>;

/** What was not escaped by these rules stays as it came. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
