import type { BrokerMessage, MessageBroker } from "sagaz";

/** A broker that does nothing: whatever is published is accepted. */
export const noopBroker: MessageBroker = {
  name: "nobody",
  start: async () => {},
  stop: async () => {},
  publish: async (messages) => messages.map(() => undefined),
  subscribe: () => Promise.reject(new Error("Nothing comes back from nobody.")),
  health: async () => ({ isUp: true }),
};

/** The same broker, which tells of the messages that it has accepted. */
export function tappedBroker(
  broker: MessageBroker,
  tell: (accepted: readonly BrokerMessage[]) => void,
): MessageBroker {
  return {
    name: broker.name,
    start: () => broker.start(),
    stop: () => broker.stop(),
    async publish(messages) {
      const answers = await broker.publish(messages);
      const isAll = answers.every((answer) => answer === undefined);
      tell(isAll ? messages : messages.filter((_, n) => answers[n] === undefined));
      return answers;
    },
    subscribe: (options) => broker.subscribe(options),
    health: () => broker.health(),
  };
}
