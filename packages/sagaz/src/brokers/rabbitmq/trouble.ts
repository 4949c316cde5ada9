import { SagaError } from "../../core/errors.ts";

/** An outage, or an answer that was lost. */
export function toUnavailable(trouble: unknown): SagaError {
  if (trouble instanceof SagaError) return trouble; // such as a driver that is not installed
  return new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: "RabbitMQ", message: messageOf(trouble) });
}

/** The server, or its protocol, has no place for this message. */
export function toRefused(topic: string, why: string): SagaError {
  return new SagaError("SAGAZ_MESSAGE_REFUSED", { broker: "RabbitMQ", topic, message: why });
}

/** How the driver says that the server has closed the connection when it heard the name of the virtual host. */
const notOpened = "Expected ConnectionOpenOk; got <ConnectionClose";
const noVirtualHost =
  "the server does not open the virtual host that the URL ends with: it does not exist, or this user may not use it";

/** Only the message: an error of Node may carry the URL beside it, password and all. Several in one have an empty one. */
export function messageOf(trouble: unknown): string {
  if (trouble instanceof AggregateError && trouble.message === "")
    return trouble.errors.map(messageOf).join("; ");
  const message = trouble instanceof Error ? trouble.message : String(trouble);
  return message.startsWith(notOpened) ? noVirtualHost : message;
}

/** For promises whose failure shows elsewhere. */
export function ignore(): void {}
