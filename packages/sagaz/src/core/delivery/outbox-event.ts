import { didYouMean } from "../definition/suggest.ts";
import { SagaError } from "../errors.ts";
import { keepJson, utf8Bytes } from "../json.ts";
import { OUTBOX_SHARDS, shardOf } from "./shard.ts";
import { isUrl, toKey, toShown, whyNoUrl } from "./url-topic.ts";

/** An event to be published. */
export interface OutboxEvent {
  /**
   * Where it goes: 1 to 200 characters out of `a-z A-Z 0-9 . _ -`, as every broker takes it; or a URL, `http` or `https`,
   * to which an `HttpOutlet` posts it.
   */
  readonly topic: string;
  /** What happened, such as `order.placed`: `ce_type`. 1 to 200 characters. */
  readonly type: string;
  /** A JSON value, or bytes of whatever kind: then say in `contentType` of which. */
  readonly payload: unknown;
  /**
   * Events of one key are published in order: an order's id, say. 1 to 500 characters. Without one the event has no order
   * to any other. In a step it is the saga's id.
   */
  readonly key?: string;
  /** Its own id, by which consumers recognise a repetition: `ce_id`. Default: a new UUIDv7. */
  readonly id?: string;
  /** Which thing it is about: `ce_subject`. Of a step's events it is the saga. */
  readonly aggregateId?: string;
  /** Of what kind that thing is: for people, and for Debezium's router. */
  readonly aggregateType?: string;
  /** Further headers. Names in lower case, out of `a-z 0-9 - _`; values without control characters. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Default `application/json`, or `application/octet-stream` for bytes. */
  readonly contentType?: string;
  /** What all messages of one business transaction have in common. Of a step's events it is the saga's. */
  readonly correlationId?: string;
  /** W3C trace context. Of a step's events it is the saga's. */
  readonly traceparent?: string;
}

/** An event as it is stored. */
export interface OutboxRow {
  /** Of the event, not of the row: `ce_id`. */
  readonly eventId: string;
  readonly topic: string;
  /** Events of one key are published in order. */
  readonly key: string;
  /** `shardOf` the key. */
  readonly shard: number;
  /** `ce_type`. */
  readonly type: string;
  /** `ce_source`. */
  readonly source: string;
  readonly aggregateType: string | null;
  /** `ce_subject`. */
  readonly aggregateId: string | null;
  readonly correlationId: string | null;
  readonly sagaId: string | null;
  readonly traceparent: string | null;
  /** Further headers: JSON text of a flat object of strings, or null. */
  readonly headers: string | null;
  /** JSON text, or bytes of whatever kind. */
  readonly payload: string | Uint8Array;
}

/** Bounds of an event, in characters; `headersBytesMax` is for their JSON text. */
const EVENT_LIMITS = {
  topicLengthMax: 200,
  typeLengthMax: 200,
  keyLengthMax: 500,
  idLengthMax: 200,
  headersBytesMax: 8_192,
} as const;

/** What an event is given that its writer leaves out. */
export interface EventDefaults {
  /** For an event without an id of its own. */
  readonly newId: () => string;
  readonly source: string;
  readonly bytesMax: number;
  readonly sagaId?: string;
  readonly aggregateType?: string;
  readonly correlationId?: string | undefined;
  readonly traceparent?: string | undefined;
  /** Headers that link it to what it follows from. */
  readonly links?: Readonly<Record<string, string>>;
}

/**
 * Checks an event, and writes its payload down once and for all.
 *
 * @throws SagaError `SAGAZ_INVALID_EVENT`, `SAGAZ_NOT_JSON`, `SAGAZ_PAYLOAD_TOO_LARGE`.
 */
export function toOutboxRow(event: OutboxEvent, defaults: EventDefaults): OutboxRow {
  checkMembers(event);
  const { sagaId = null } = defaults;
  const eventId = checkText("id", event.id ?? defaults.newId(), EVENT_LIMITS.idLengthMax);
  const topic = checkTopic(event.topic);
  const key = toKey(topic, checkText("key", event.key ?? sagaId ?? eventId, EVENT_LIMITS.keyLengthMax));
  return {
    eventId,
    topic,
    key,
    shard: shardOf(key, OUTBOX_SHARDS),
    type: checkText("type", event.type, EVENT_LIMITS.typeLengthMax),
    source: defaults.source,
    aggregateType: optional("aggregateType", event.aggregateType ?? defaults.aggregateType),
    aggregateId: optional("aggregateId", event.aggregateId ?? sagaId ?? undefined),
    correlationId: optional("correlationId", event.correlationId ?? defaults.correlationId),
    sagaId,
    traceparent: optional("traceparent", event.traceparent ?? defaults.traceparent),
    headers: toHeaders(event, defaults.links),
    payload: toPayload(event, defaults.bytesMax),
  };
}

const MEMBERS: readonly string[] = [
  "topic",
  "type",
  "payload",
  "key",
  "id",
  "aggregateId",
  "aggregateType",
  "headers",
  "contentType",
  "correlationId",
  "traceparent",
] satisfies readonly (keyof OutboxEvent)[];
const KNOWN = new Set(MEMBERS);

/** A key that is misspelt would be none, and the event have no order. */
function checkMembers(event: OutboxEvent): void {
  if (typeof event !== "object" || event === null)
    throw invalid("whole", typeof event, "it must be an object");
  const unknown = Object.keys(event).find((name) => !KNOWN.has(name));
  if (unknown === undefined) return;
  throw invalid("member", unknown, `there is none of that name.${didYouMean(unknown, MEMBERS)}`);
}

function checkTopic(topic: unknown): string {
  if (typeof topic === "string" && isUrl(topic)) return checkUrl(topic);
  const text = checkText("topic", topic, EVENT_LIMITS.topicLengthMax);
  if (/^[\w.-]+$/.test(text)) return text;
  throw invalid("topic", text, "only a-z A-Z 0-9 . _ - are the same to every broker");
}

function checkUrl(topic: string): string {
  const why = whyNoUrl(topic);
  if (why === undefined) return topic;
  throw invalid("topic", toShown(topic), why);
}

function checkText(what: string, text: unknown, lengthMax: number): string {
  if (typeof text !== "string" || text.length === 0 || text.length > lengthMax)
    throw invalid(what, text, `it must be a text of 1 to ${lengthMax} characters`);
  if (hasControls(text)) throw invalid(what, text, "it must not contain control characters");
  if (!text.isWellFormed()) throw invalid(what, text, "it must not contain half of a surrogate pair");
  return text;
}

/** Tells whether an event can have this as its correlation id, or its trace: what others have written need not be so. */
export function canCarry(text: string): boolean {
  return (
    text.length > 0 && text.length <= EVENT_LIMITS.keyLengthMax && !hasControls(text) && text.isWellFormed()
  );
}

function optional(what: string, text: string | undefined): string | null {
  return text === undefined ? null : checkText(what, text, EVENT_LIMITS.keyLengthMax);
}

/** Header lines, and some brokers' texts, end at such a character. */
function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

/** Names that the envelope fills itself. */
const RESERVED = /^(ce_.*|content-type|traceparent|correlation-id|causation-id|saga-id)$/;

/** The content type to be told; undefined for JSON, which needs no word. */
function typeOf(contentType: string | undefined, payload: unknown): string | undefined {
  return contentType ?? (payload instanceof Uint8Array ? "application/octet-stream" : undefined);
}

function toHeaders(
  { headers, contentType, payload }: OutboxEvent,
  links: EventDefaults["links"],
): string | null {
  const type = typeOf(contentType, payload);
  if ((links ?? headers ?? type) === undefined) return null;
  const all: Record<string, string> = { ...links };
  for (const [name, value] of Object.entries(headers ?? {})) {
    checkHeader(name, value);
    all[name] = value;
  }
  if (type !== undefined) all["content-type"] = checkText("contentType", type, EVENT_LIMITS.typeLengthMax);
  const text = JSON.stringify(all);
  if (text === "{}") return null;
  const bytes = utf8Bytes(text);
  const { headersBytesMax } = EVENT_LIMITS;
  if (bytes > headersBytesMax)
    throw invalid("headers", `${bytes} bytes`, `headersBytesMax is ${headersBytesMax}`);
  return text;
}

function checkHeader(name: string, value: unknown): void {
  if (!/^[a-z0-9_-]{1,100}$/.test(name))
    throw invalid("header", name, "names are in lower case, out of a-z 0-9 - _");
  if (RESERVED.test(name)) throw invalid("header", name, "the envelope fills it itself");
  if (typeof value !== "string" || hasControls(value))
    throw invalid("header", name, "its value must be a text without control characters");
  if (!value.isWellFormed())
    throw invalid("header", name, "its value must not contain half of a surrogate pair");
}

function toPayload({ payload, type }: OutboxEvent, bytesMax: number): string | Uint8Array {
  const what = `the payload of event "${type}"`;
  if (payload instanceof Uint8Array) {
    if (payload.length <= bytesMax) return payload.slice(); // nobody changes it any more
    throw new SagaError("SAGAZ_PAYLOAD_TOO_LARGE", { what, bytes: payload.length, limit: bytesMax });
  }
  if (payload === undefined)
    throw new SagaError("SAGAZ_NOT_JSON", { what, why: "undefined is no JSON value", path: "$" });
  return JSON.stringify(keepJson(payload, { what, bytesMax }));
}

function invalid(what: string, value: unknown, rule: string): SagaError {
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 60)) : String(value);
  return new SagaError("SAGAZ_INVALID_EVENT", { what, value: shown, rule });
}
