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
export { given } from "./given.ts";
export type { Given, GivenOptions } from "./given.ts";
export {
  fails,
  inTurn,
  losesReply,
  neverSettles,
  receives,
  returns,
  runs,
  throwsError,
  timesOut,
} from "./scripts.ts";
export type { Script, Signalled } from "./scripts.ts";
export type { Expected, Story } from "./story.ts";
export { SeededChance } from "./seeded-chance.ts";
export { FencedParticipant } from "./simulator/fenced-participant.ts";
export type { Sight, Sights } from "./simulator/history.ts";
export { simulate } from "./simulator/simulate.ts";
export type { SagaInWorld, SimulateOptions, SimulateReport } from "./simulator/simulate.ts";
