import { createHash } from "node:crypto";
import type { SqlRunner } from "../core/definition/context.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import { definitionOf } from "../core/definition/definition-of.ts";
import { SagaError } from "../core/errors.ts";
import { canonicalJson, keepJson } from "../core/json.ts";
import type { SagaStarted } from "../core/saga/events.ts";
import type { KeyedOutcome, SagaStorage, StartRow } from "../ports/storage.ts";
import type { Sagaish } from "../core/definition/sagaish.ts";
import { toStartOptions } from "./start-options.ts";
import type { StartOptions } from "./start-options.ts";
import { toStartRow } from "./entry.ts";
import type { NewSaga } from "./entry.ts";
import { KeyedStarts } from "./keyed-starts.ts";
import { validate } from "./payload.ts";
import type { Checked } from "./payload.ts";
import type { Registry } from "./registry.ts";
import type { Worker } from "./worker.ts";

/** The outcome of a start that is on record. */
export interface Started {
  readonly id: string;
  readonly isNew: boolean;
}

/** What {@link Starts} needs. */
export interface StartsParts {
  readonly storage: SagaStorage;
  readonly registry: Registry;
  readonly worker: Worker;
  readonly payloadBytesMax: number;
}

/** Puts new sagas on record: plainly, under an idempotency key, or in the caller's transaction. */
export class Starts {
  readonly #parts: StartsParts;
  readonly #keyed: KeyedStarts;

  constructor(parts: StartsParts) {
    this.#parts = parts;
    this.#keyed = new KeyedStarts(parts.worker);
  }

  /** See `Sagas.start`. */
  async start(saga: Sagaish | string, input: unknown, given: StartOptions = {}): Promise<Started> {
    const { worker } = this.#parts;
    worker.checkStart(this.#keyed.waiting);
    const options = toStartOptions(given);
    const definition = this.#definition(saga);
    // Read before anything is waited for, unless its schema waits: the caller may go on with an object that it gave.
    const accepting = accept(definition, input);
    const { value: accepted } = "then" in accepting ? await accepting : accepting;
    // From here to the writer nothing waits: of many starts at once, each sees the room that the others took.
    const started = this.#toStarted(definition, accepted, options);
    const sagaId = worker.newId();
    if (options.tx)
      return this.#startIn(options.tx, toStartRow(sagaId, { ...started, admitted: false }, hashOf(started)));
    const newSaga = { definition, started, row: toStartRow(sagaId, started, hashOf(started)) };
    if (started.idempotencyKey !== undefined) return this.#startKeyed(newSaga);
    await new Promise<void>((resolve, reject) => {
      worker.begin(newSaga, (error) => (error ? reject(error) : resolve()));
    });
    return toStarted(sagaId, true);
  }

  async #startKeyed(saga: NewSaga): Promise<Started> {
    const outcome = await this.#keyed.start(saga);
    return this.#judge(outcome, saga.row);
  }

  #judge(outcome: KeyedOutcome, start: StartRow): Started {
    const details = { saga: start.sagaName, key: start.idempotencyKey };
    if (outcome.kind === "busy") throw new SagaError("SAGAZ_START_IN_PROGRESS", details);
    if (outcome.kind === "existing" && !outcome.sameInput) {
      throw new SagaError("SAGAZ_IDEMPOTENCY_CONFLICT", { ...details, sagaId: outcome.sagaId });
    }
    return toStarted(outcome.sagaId, outcome.sagaId === start.sagaId);
  }

  /** Nobody tells us whether the caller commits, so this process looks for the saga; the sweep is the fallback. */
  async #startIn(tx: SqlRunner, start: StartRow): Promise<Started> {
    const { storage } = this.#parts;
    if (!storage.can.joinTransaction) {
      throw new SagaError("SAGAZ_CANNOT", {
        storage: storage.name,
        what: "start a saga in the caller's transaction",
      });
    }
    const outcome = await storage.journal.startIn(tx, start);
    if (start.wakeAt === null) this.#parts.worker.hunt(start.sagaId);
    return this.#judge(outcome, start);
  }

  #definition(saga: Sagaish | string): SagaDefinition {
    const { registry } = this.#parts;
    if (typeof saga === "string") return registry.get(saga);
    const definition = definitionOf(saga);
    const held = registry.find(definition.name, definition.version);
    // The one that was handed over runs it here: an instance of a class brings what its constructor was given.
    if (held?.graphHash === definition.graphHash) return definition;
    throw new SagaError("SAGAZ_UNKNOWN_SAGA", {
      saga: definition.name,
      version: ` version ${definition.version} with this graph`,
      hint: " Add it to `sagas` of the orchestrator.",
    });
  }

  #toStarted(definition: SagaDefinition, accepted: unknown, options: StartOptions): SagaStarted {
    const bytesMax = this.#parts.payloadBytesMax;
    const input = keepJson(accepted, { what: `the input of "${definition.name}"`, bytesMax });
    const { idempotencyKey, correlationId, tenantId, headers, attributes, startAt } = options;
    const { name, version, graphHash, pivot } = definition;
    const started: { -readonly [Field in keyof SagaStarted]: SagaStarted[Field] } = {
      name,
      version,
      graphHash,
      input: input ?? null,
      headers: headers ?? NO_HEADERS,
      admitted: this.#isAdmitted(definition, options),
    };
    if (pivot !== undefined) started.pivot = pivot;
    if (idempotencyKey !== undefined) started.idempotencyKey = idempotencyKey;
    if (correlationId !== undefined) started.correlationId = correlationId;
    if (tenantId !== undefined) started.tenantId = tenantId;
    if (attributes !== undefined) started.attributes = attributes;
    if (startAt !== undefined) started.startAt = startAt.getTime();
    return Object.freeze(started);
  }

  #isAdmitted({ name, version }: SagaDefinition, { startAt, tenantId }: StartOptions): boolean {
    const { worker } = this.#parts;
    return startAt === undefined && worker.isOpen && worker.room.fits({ name, version, tenantId });
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

function toStarted(id: string, isNew: boolean): Started {
  return { id, isNew };
}

/** The input as the definition's schema returns it. @throws SagaError `SAGAZ_INPUT_INVALID`. */
export function accept(definition: SagaDefinition, input: unknown): Accepted | Promise<Accepted> {
  if (!definition.inputSchema) return { value: input };
  const checked = validate(definition.inputSchema, input);
  const toAccepted = (answer: Checked): Accepted => {
    if ("value" in answer) return answer;
    throw new SagaError("SAGAZ_INPUT_INVALID", { saga: definition.name, issues: answer.issues });
  };
  return "then" in checked ? checked.then(toAccepted) : toAccepted(checked);
}

/** An input that its schema lets pass. */
interface Accepted {
  readonly value: unknown;
}

/** SHA-256 of the canonical JSON (RFC 8785) of the input: the same input, whatever the order of its keys. */
function hashOf({ idempotencyKey, input }: SagaStarted): { inputHash: string | null } {
  if (idempotencyKey === undefined) return { inputHash: null };
  return { inputHash: createHash("sha256").update(canonicalJson(input)).digest("hex") };
}
