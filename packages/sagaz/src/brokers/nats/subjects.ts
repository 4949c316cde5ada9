/** Names of what is kept in NATS, all of them made from the name of the stream. */
export class Subjects {
  /** The stream with the messages of all topics. */
  readonly stream: string;
  /** The bucket with the places of groups, and the stream that a bucket is. */
  readonly bucket: string;
  readonly bucketStream: string;

  constructor(stream: string) {
    this.stream = stream;
    this.bucket = `${stream}-groups`;
    this.bucketStream = `KV_${this.bucket}`;
  }

  /** Where messages of a topic are published. */
  message(topic: string): string {
    return `${this.stream}.${toTokens(topic)}`;
  }

  /** Where a group's place in a topic is kept: the group is one token, so that two pairs never share a subject. */
  place(group: string, topic: string): string {
    return `$KV.${this.bucket}.${toToken(group)}.${toTokens(topic)}`;
  }
}

/** A name with dots stays one, so that others can subscribe to parts of it, unless a part would be empty. */
function toTokens(name: string): string {
  const parts = name.split(".");
  return parts.includes("") ? toToken(name) : parts.map(toToken).join(".");
}

/** Only what is allowed in subjects and in a bucket; other names give other tokens. */
function toToken(name: string): string {
  if (name === "") return "=";
  return name.replace(/[^\w-]/gu, (char) =>
    Array.from(new TextEncoder().encode(char), (byte) => `=${byte.toString(16).padStart(2, "0")}`).join(""),
  );
}

/** Tells whether a subject that a stream takes, perhaps with wildcards, covers another one. */
export function covers(taken: string, subject: string): boolean {
  const [tokens, parts] = [taken.split("."), subject.split(".")];
  if (tokens.at(-1) === ">")
    return (
      parts.length >= tokens.length &&
      covers(tokens.slice(0, -1).join("."), parts.slice(0, tokens.length - 1).join("."))
    );
  return parts.length === tokens.length && tokens.every((token, n) => token === "*" || token === parts[n]);
}
