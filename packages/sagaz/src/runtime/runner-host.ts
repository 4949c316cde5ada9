import type { SagaError } from "../core/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { AppendEntry, Mail, NewMail, SagaStorage } from "../ports/storage.ts";
import type { ReplyAddresses } from "./command-event.ts";
import type { Written } from "./journal-writer.ts";
import type { SagaState } from "../core/saga/state.ts";

/** A saga that this process owns, or has just ceased to own. */
export interface SagaInMemory {
  readonly sagaId: string;
  readonly state: SagaState;
}

/** What a runner needs from the process that it lives in. */
export interface RunnerHost {
  readonly storage: SagaStorage;
  readonly clock: Clock;
  readonly log: Log;
  readonly payloadBytesMax: number;
  /** Where participants send their replies to. */
  readonly replyTo: ReplyAddresses;
  /** Database time, as well as this process knows it. */
  now(): number;
  luck(): number;
  newId(): string;
  submit(entry: AppendEntry, written: Written): void;
  epoch(): number;
  /** The runner is done with its saga: `ended`, `released` to whoever claims it, or `lost` to somebody else. */
  gone(saga: SagaInMemory, why: "ended" | "released" | "lost"): void;
  /** A write of a saga that this process owns was refused for good; its runner is gone. */
  notWritten(saga: { readonly sagaId: string; readonly ackedSeq: number }, error: SagaError): void;
  /** The saga was parked: somebody may wait for that. */
  changed(saga: SagaInMemory): void;
  /** Notes a refusal for its sender. Answers false when it could not be stored: then the mail is still unread. */
  refuse(mail: Mail, error: SagaError): Promise<boolean>;
  send(mail: NewMail): void;
}

/** What an owner knows of a saga's mail: how much was sent, and whether the unread part is on its way. */
export interface MailState {
  readonly seq: number;
  readonly fetched: boolean;
}
