/**
 * Sorts the messages of a call by topic and key: the places of those that must keep their order, in it.
 *
 * Whoever sends the next message of a chain only when the one before is safe, and the chains side by side, has the broker
 * accept a prefix of each key whatever it refuses, and waits for no other key.
 */
export function toChains(
  messages: readonly { readonly topic: string; readonly key: string }[],
): readonly (readonly number[])[] {
  const chains = new Map<string, number[]>();
  for (const [place, { topic, key }] of messages.entries()) {
    const name = `${topic.length} ${topic}${key}`; // no other topic and key make the same
    const chain = chains.get(name);
    if (chain) chain.push(place);
    else chains.set(name, [place]);
  }
  return [...chains.values()];
}
