/**
 * sagaz: business transactions across services that either finish or are undone.
 *
 * @packageDocumentation
 */
import "./core/definition/symbol-metadata.ts";
import { setDefaultStorage } from "./runtime/configure.ts";
import { createStorage } from "./storage/create.ts";
import { InMemoryStorage } from "./storage/memory/index.ts";

setDefaultStorage((url) => (url === undefined ? Promise.resolve(new InMemoryStorage()) : createStorage(url)));

// Writing a saga.
export { Saga } from "./runtime/saga.ts";
export { ClassicSaga } from "./runtime/classic-saga.ts";
export type {
  ClassicCommandOptions,
  ClassicSagaOptions,
  ClassicStepOptions,
} from "./runtime/classic-saga.ts";
export * from "./core/definition/index.ts";
export { fail, outcomeUnknown, retryIn } from "./core/decide/outcome.ts";
export type { AmbiguousOutcome, BusinessFailure, RetryLater } from "./core/decide/outcome.ts";

// Running it.
export { SagaOrchestrator } from "./runtime/orchestrator.ts";
export type { OrchestratorOptions } from "./runtime/orchestrator.ts";
export { rebuildProjections } from "./runtime/rebuild.ts";
export type * from "./runtime/rebuild.ts";
export { configure, shutdown } from "./runtime/configure.ts";
export type { Configuration, RunOptions } from "./runtime/configure.ts";
export type { Reason, SagaHandle, Sagas, StartOptions, WaitOptions } from "./runtime/sagas.ts";
export type { SagaResult } from "./runtime/saga-result.ts";
export type { SagaView, StepView } from "./runtime/saga-view.ts";
export type { UndoPlan } from "./runtime/undo-plan.ts";
export { isEnded } from "./core/saga/status.ts";
export type { SagaStatus, StepStatus, WaitReason } from "./core/saga/status.ts";
export type * from "./core/saga/events.ts";

// Where it is kept.
export { InMemoryStorage } from "./storage/memory/index.ts";
export type * from "./storage/memory/index.ts";
export { createStorage } from "./storage/create.ts";
export type { CreateStorageOptions } from "./storage/create.ts";
export type * from "./ports/storage.ts";

// Its events, and what carries them.
export { Outbox } from "./runtime/delivery/outbox.ts";
export type { OutboxOptions } from "./runtime/delivery/outbox.ts";
export { OptimisticPublisher } from "./runtime/delivery/optimistic-publisher.ts";
export type {
  OptimisticCounts,
  OptimisticPublisherOptions,
} from "./runtime/delivery/optimistic-publisher.ts";
export type { TransactionConnection, TransactionPool } from "./runtime/delivery/in-transaction.ts";
export { OutboxWorker } from "./runtime/delivery/outbox-worker.ts";
export type { OutboxWorkerHealth, OutboxWorkerOptions } from "./runtime/delivery/outbox-worker.ts";
export { ConsumerInbox } from "./runtime/delivery/consumer-inbox.ts";
export type * from "./runtime/delivery/consumer-inbox.ts";
export { Choreography } from "./runtime/delivery/choreography.ts";
export type { ChoreographyOptions } from "./runtime/delivery/choreography.ts";
export type { EventName, Reaction, ReactionContext } from "./runtime/delivery/reactions.ts";
export { Participant } from "./runtime/participant/participant.ts";
export type { ParticipantOptions } from "./runtime/participant/participant.ts";
export type {
  Command,
  CommandContext,
  Commands,
  CommandUndoContext,
} from "./runtime/participant/participant-commands.ts";
export type { CommandMessage, ReplyError, ReplyMessage, ReplyOutcome } from "./core/participant/messages.ts";
export type { RepliesOptions } from "./runtime/delivery/reply-receiver.ts";
export { FlowTracker } from "./runtime/delivery/flow-tracker.ts";
export type { FlowTrackerOptions } from "./runtime/delivery/flow-tracker.ts";
export { drawFlow } from "./core/delivery/flow.ts";
export { DeadLetters } from "./runtime/delivery/dead-letters.ts";
export { InboxWorker } from "./runtime/delivery/inbox-worker.ts";
export type { InboxCounts, InboxWorkerOptions } from "./runtime/delivery/inbox-worker.ts";
export type { DeliveryState } from "./runtime/delivery/cdc-delivery.ts";
export type { RelayCounts } from "./runtime/delivery/relay.ts";
export type { PoisonPolicy } from "./runtime/delivery/verdict.ts";
export type { OutboxEvent } from "./core/delivery/outbox-event.ts";
export { InMemoryBroker } from "./brokers/memory/index.ts";
export type { InMemoryBrokerOptions } from "./brokers/memory/index.ts";
export { createBroker } from "./brokers/create.ts";
export type * from "./ports/broker.ts";

// The world around it.
export type { Clock, Timer } from "./ports/clock.ts";
export type { Chance } from "./ports/chance.ts";
export type { Log as SagaLogger } from "./ports/log.ts";

// What can go wrong.
export { ERRORS, isSagaError, SagaError } from "./core/errors.ts";
export type { ErrorDetails, SagaErrorCode } from "./core/errors.ts";
