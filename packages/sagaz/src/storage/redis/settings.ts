import type { RedisStorageSettings } from "./client.ts";

const reopenMsMin = 20;
const reopenMsMax = 1_000;

/**
 * Settings of a connection that is opened again whenever it is lost, and on which a call either gets its answer or fails:
 * nothing is sent again on another connection, since what was sent may have been done.
 */
export function toSettings(answerTimeoutMs: number): RedisStorageSettings {
  return {
    lazyConnect: true,
    protocol: 2, // the same answers whatever the driver's default is
    keyPrefix: "",
    connectTimeout: answerTimeoutMs,
    socketTimeout: answerTimeoutMs,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (tries) => Math.min(reopenMsMin * 2 ** (tries - 1), reopenMsMax),
    // What was the primary may have become a replica: its name may lead to another one by now.
    reconnectOnError: ({ message }) => message.startsWith("READONLY"),
  };
}
