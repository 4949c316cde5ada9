/** What several parts of a process use, and whoever stops first must not take away from the others. */
interface Startable {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Users in this process, by what they use. */
const users = new WeakMap<Startable, Set<object>>();

/** Starts a storage or a broker for one more user, or again for one whose start failed. */
export async function join(used: Startable, user: object): Promise<void> {
  const all = users.get(used) ?? new Set();
  users.set(used, all);
  all.add(user);
  await used.start();
}

/** Lets go of it: the last user stops it. Safe twice, and before it was joined. */
export async function leave(used: Startable, user: object): Promise<void> {
  const all = users.get(used);
  all?.delete(user);
  if (!all || all.size === 0) await used.stop();
}
