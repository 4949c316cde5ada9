import type { SagaStorage } from "../ports/storage.ts";

/** Users of a storage in this process: the one that stops first must not take it away from the others. */
const users = new WeakMap<SagaStorage, Set<object>>();

/** Starts a storage for one more user, or again for one whose start failed. */
export async function joinStorage(storage: SagaStorage, user: object): Promise<void> {
  const all = users.get(storage) ?? new Set();
  users.set(storage, all);
  all.add(user);
  await storage.start();
}

/** Lets go of a storage: the last user stops it. Safe twice, and before it was joined. */
export async function leaveStorage(storage: SagaStorage, user: object): Promise<void> {
  const all = users.get(storage);
  all?.delete(user);
  if (!all || all.size === 0) await storage.stop();
}
