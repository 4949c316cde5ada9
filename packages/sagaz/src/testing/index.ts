export { storageRules, toProvided, toTitle, unmetNeeds } from "./conformance/index.ts";
export type {
  CallersTransaction,
  FailingOperation,
  Need,
  OpenStorage,
  StorageRule,
  StorageUnderTest,
} from "./conformance/index.ts";
export { FakeClock } from "./fake-clock.ts";
export type { ClockSkew } from "./fake-clock.ts";
export { withFaults } from "./faults.ts";
export type { FaultyStorage } from "./faults.ts";
export { SeededChance } from "./seeded-chance.ts";
