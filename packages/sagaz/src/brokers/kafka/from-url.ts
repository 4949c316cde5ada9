import { SagaError } from "../../core/errors.ts";
import type { KafkaSasl } from "./connections.ts";
import type { KafkaBrokerOptions } from "./index.ts";

const shape = /^(kafkas?):\/\/(?:([^:@/?]+):([^@/?]*)@)?([^@/?]+)\/?(?:\?(.*))?$/i;

const mechanisms: Readonly<Record<string, NonNullable<KafkaSasl["mechanism"]>>> = {
  plain: "PLAIN",
  "scram-sha-256": "SCRAM-SHA-256",
  "scram-sha-512": "SCRAM-SHA-512",
};

/**
 * Reads `kafka://user:password@host:9092,host:9092?sasl=scram-sha-512`. With `kafkas:` it is encrypted. Without `sasl` the
 * login is `plain`. As in every URL, special characters of user and password are percent-encoded.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`, which does not show the URL.
 */
export function fromUrl(url: string): Pick<KafkaBrokerOptions, "servers" | "sasl" | "tls"> {
  const [, scheme = "", user, password = "", servers, query = ""] = shape.exec(url) ?? [];
  if (servers === undefined) throw unreadable();
  const mechanism = toMechanism(new URLSearchParams(query));
  return {
    servers: servers.split(","),
    ...(user !== undefined && {
      sasl: { mechanism, username: decode(user), password: decode(password) },
    }),
    ...(scheme.toLowerCase() === "kafkas" && { tls: {} }),
  };
}

function toMechanism(parameters: URLSearchParams): NonNullable<KafkaSasl["mechanism"]> {
  const { sasl = "plain", ...others } = Object.fromEntries(parameters);
  const mechanism = mechanisms[sasl.toLowerCase()];
  if (mechanism === undefined || Object.keys(others).length > 0) throw unreadable();
  return mechanism;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw unreadable();
  }
}

function unreadable(): SagaError {
  return new SagaError("SAGAZ_INVALID_OPTION", {
    where: "createBroker",
    option: "url",
    value: "kafka:…",
    rule: "it must be kafka[s]://[user:password@]host:port[,host:port][?sasl=plain|scram-sha-256|scram-sha-512], with user and password percent-encoded",
  });
}
