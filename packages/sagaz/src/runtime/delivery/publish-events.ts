import { toHeaders } from "../../core/delivery/envelope.ts";
import { isSagaError, SagaError } from "../../core/errors.ts";
import type { BrokerMessage, MessageOutlet } from "../../ports/broker.ts";
import type { PendingEvent } from "../../ports/outbox.ts";

/** Publishes events with their envelopes. Answers what the broker says of each; what a broker throws is an outage. */
export async function publishEvents(
  broker: MessageOutlet,
  events: readonly PendingEvent[],
): Promise<readonly (SagaError | undefined)[]> {
  try {
    return await broker.publish(events.map(toMessage));
  } catch (error) {
    const { name } = broker;
    const cause = isSagaError(error) && error.retryable ? error : undefined;
    const away =
      cause ??
      new SagaError("SAGAZ_BROKER_UNAVAILABLE", { broker: name, message: String(error) }, { cause: error });
    return events.map(() => away);
  }
}

function toMessage(event: PendingEvent): BrokerMessage {
  const { topic, key, payload, createdAt } = event;
  return { topic, key, headers: toHeaders(event, createdAt), payload };
}
