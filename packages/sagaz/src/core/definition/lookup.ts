import { must } from "../must.ts";

/**
 * Reads what must be there, such as a step by a name that was checked.
 *
 * @throws SagaError `SAGAZ_BUG` when it is not.
 */
export function lookup<Key, Value>(map: ReadonlyMap<Key, Value>, key: Key): Value {
  const value = map.get(key);
  must(value !== undefined, `a key that was checked is in the map: ${String(key)}`);
  return value;
}
