export { toTitle, unmetNeeds } from "./conformance/rule.ts";
export type { Rule } from "./conformance/rule.ts";
export { brokerRules } from "./conformance/broker/broker-rules.ts";
export type {
  BrokerNeed,
  BrokerRule,
  BrokerUnderTest,
  OpenBroker,
} from "./conformance/broker/broker-rule.ts";
export { participantRules } from "./conformance/participant/participant-rules.ts";
export type {
  OpenParticipant,
  ParticipantNeed,
  ParticipantRule,
  ParticipantUnderTest,
  SampleCommand,
} from "./conformance/participant/participant-rule.ts";
export { storageRules } from "./conformance/storage/storage-rules.ts";
export { toProvided } from "./conformance/storage/storage-rule.ts";
export type {
  CallersTransaction,
  FailingOperation,
  Need,
  OpenStorage,
  StorageRule,
  StorageUnderTest,
} from "./conformance/storage/storage-rule.ts";
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
