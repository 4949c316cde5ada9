import { batchRules } from "./batch-rules.ts";
import { claimRules } from "./claim-rules.ts";
import { crashRules } from "./crash-rules.ts";
import { deadLetterRules } from "./dead-letter-rules.ts";
import { flowRules } from "./flow-rules.ts";
import { heldEventRules } from "./held-event-rules.ts";
import { inboxRules } from "./inbox-rules.ts";
import { journalRules } from "./journal-rules.ts";
import { leaseRules } from "./lease-rules.ts";
import { mailboxRules } from "./mailbox-rules.ts";
import { outboxRules } from "./outbox-rules.ts";
import { participantStorageRules } from "./participant-rules.ts";
import { payloadRules } from "./payload-rules.ts";
import { queryRules } from "./query-rules.ts";
import { roomRules } from "./room-rules.ts";
import type { StorageRule } from "./storage-rule.ts";
import { startRules } from "./start-rules.ts";
import { transactionRules } from "./transaction-rules.ts";
import { undeliveredRules } from "./undelivered-rules.ts";
import { upkeepRules } from "./upkeep-rules.ts";

/** The contract of `SagaStorage` as rules that every adapter keeps. Those it cannot keep are skipped by name. */
export const storageRules: readonly StorageRule[] = [
  ...journalRules,
  ...payloadRules,
  ...batchRules,
  ...startRules,
  ...transactionRules,
  ...leaseRules,
  ...claimRules,
  ...roomRules,
  ...mailboxRules,
  ...queryRules,
  ...upkeepRules,
  ...outboxRules,
  ...heldEventRules,
  ...inboxRules,
  ...deadLetterRules,
  ...undeliveredRules,
  ...flowRules,
  ...participantStorageRules,
  ...crashRules,
];
