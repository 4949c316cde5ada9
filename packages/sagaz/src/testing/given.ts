import { definitionOf } from "../core/definition/definition-of.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import type { Sagaish } from "../core/definition/sagaish.ts";
import { silentLog } from "../ports/log.ts";
import type { OutboxRow, SagaStorage } from "../ports/storage.ts";
import { SagaOrchestrator } from "../runtime/orchestrator.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { FakeClock } from "./fake-clock.ts";
import { checkExpected } from "./story.ts";
import type { Expected, Story } from "./story.ts";
import { rehearsed } from "./rehearsed-definition.ts";
import { answerCommand } from "./scripted-participants.ts";
import { Signalled } from "./scripts.ts";
import type { Script } from "./scripts.ts";
import { SeededChance } from "./seeded-chance.ts";

/** How {@link given} runs a saga. */
export interface GivenOptions {
  /**
   * What functions without a script do: `run` the user's own code (the default), or `stub`: return nothing, so that a
   * test of the graph and its policies needs none of the services.
   */
  readonly others?: "run" | "stub";
  /** Milliseconds of the fake clock after which a saga that has neither ended nor parked is given up. Default 30 days. */
  readonly limitMs?: number;
}

/** A saga, its input and what its steps will do. Immutable: each call returns a new one. */
export interface Given<Output = unknown> {
  /** Says what steps do in place of the user's code, by step name. */
  when(scripts: Readonly<Record<string, Script | Signalled>>): Given<Output>;
  /** Says what compensations do in place of the user's code, by step name. */
  whenUndone(scripts: Readonly<Record<string, Script>>): Given<Output>;
  /** Runs the saga until it has ended, or is parked and nothing else of it moves. */
  run(): Promise<Story<Output>>;
  /**
   * Runs the saga and checks how it went.
   *
   * @throws AssertionError that tells what was different, and what happened.
   */
  expect(expected: Expected<Output>): Promise<Story<Output>>;
}

/**
 * Rehearses a saga: the real engine on a clock that jumps from timer to timer, in memory, with no server.
 *
 * Time-outs, retries and delays of days take milliseconds. Code of the user's that waits for something real (a file, a
 * local server) is waited for, up to 50 ms a call, before the clock moves.
 *
 * @throws SagaError the codes of definitions that break a rule; `SAGAZ_UNKNOWN_STEP` for a script of no step.
 *
 * @example
 * await given(OrderSaga, order)
 *   .when({ charge_payment: fails("card declined") })
 *   .expect({ status: "compensated", undone: ["reserve_inventory"] });
 */
export function given<Input, Output>(
  saga: Sagaish<Input, Output>,
  input: Input,
  options: GivenOptions = {},
): Given<Output> {
  const definition = definitionOf(saga) as SagaDefinition;
  return toGiven({ definition, input, options, actions: {}, undos: {} });
}

interface Rehearsal {
  readonly definition: SagaDefinition;
  readonly input: unknown;
  readonly options: GivenOptions;
  readonly actions: Readonly<Record<string, Script | Signalled>>;
  readonly undos: Readonly<Record<string, Script>>;
}

function toGiven<Output>(rehearsal: Rehearsal): Given<Output> {
  const run = () => rehearse(rehearsal) as Promise<Story<Output>>;
  return {
    when: (scripts) => toGiven({ ...rehearsal, actions: { ...rehearsal.actions, ...scripts } }),
    whenUndone: (scripts) => toGiven({ ...rehearsal, undos: { ...rehearsal.undos, ...scripts } }),
    run,
    expect: async (expected) => {
      const story = await run();
      checkExpected(rehearsal.definition, { story, expected });
      return story;
    },
  };
}

const MONTH_MS = 30 * 86_400_000;
/** Long enough that a week of waiting costs few heartbeats, which are also what wakes a saga that has left memory. */
const LEASE_MS = 60_000;

async function rehearse({ definition, input, options, actions, undos }: Rehearsal): Promise<Story> {
  const clock = new PatientClock();
  const calls: string[] = [];
  const call = (name: string, run: () => unknown): unknown => {
    calls.push(name);
    return clock.waitFor(run());
  };
  const parts = { actions, undos, isStubbed: options.others === "stub", call };
  const played = rehearsed(definition, parts);
  let broken: { readonly error: unknown } | undefined;
  const journal = new WatchedJournal(new InMemoryStorage({ clock }), (row) => {
    void answerCommand(row, parts)
      .then((reply) => reply && orchestrator.sagas.reply(reply))
      .catch((error: unknown) => {
        if (!journal.isOver(row.sagaId ?? "")) broken ??= { error }; // else the saga has gone its way without it
      });
  });
  const orchestrator = new SagaOrchestrator({
    storage: journal.storage,
    sagas: [played],
    replies: { topic: "replies" },
    leaseMs: LEASE_MS,
    clock,
    chance: new SeededChance(1),
    log: silentLog,
  });
  await clock.drive(orchestrator.start());
  const from = clock.now();
  const { id } = await clock.drive(orchestrator.sagas.start(played, input));
  for (const { signal, payload } of signalsOf(definition, actions))
    await clock.drive(orchestrator.sagas.signal(id, signal, payload));
  const isOver = () => journal.isOver(id) && orchestrator.sagasInFlight === 0;
  await clock.runUntil(() => broken !== undefined || isOver(), { limitMs: options.limitMs ?? MONTH_MS });
  if (broken) throw broken.error;
  const saga = await orchestrator.sagas.get(id);
  const events = await orchestrator.sagas.events(id);
  const tookMs = (events.at(-1)?.at ?? from) - from;
  await clock.drive(orchestrator.stop());
  return { saga, output: saga.output, events, calls, tookMs };
}

function signalsOf(
  { steps }: SagaDefinition,
  actions: Rehearsal["actions"],
): { signal: string; payload: unknown }[] {
  return steps.flatMap((step) => {
    const script = actions[step.name];
    return step.kind === "signal" && script instanceof Signalled
      ? [{ signal: step.signal, payload: script.payload }]
      : [];
  });
}

const REAL_WAIT_MS = 50;

/** Does not move while code of the user's may still be about to answer. */
class PatientClock extends FakeClock {
  readonly #calls = new Set<{ readonly since: number }>();

  waitFor(answer: unknown): unknown {
    if (!(answer instanceof Promise)) return answer;
    const call = { since: performance.now() };
    const end = () => void this.#calls.delete(call);
    this.#calls.add(call);
    answer.then(end, end);
    return answer;
  }

  override async settle(): Promise<void> {
    do await super.settle();
    while (this.#isWaiting());
  }

  #isWaiting(): boolean {
    const now = performance.now();
    for (const { since } of this.#calls) if (now - since < REAL_WAIT_MS) return true;
    return false;
  }

  /** Lets time pass until the promise settles. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const end = () => void (settled = true);
    promise.then(end, end);
    await this.runUntil(() => settled);
    return promise;
  }
}

const OVER = new Set(["saga_completed", "saga_compensated", "saga_parked"]);

/** A storage that knows which of its sagas have ended or are parked, so that nobody has to ask again and again. */
class WatchedJournal {
  readonly storage: SagaStorage;
  readonly #over = new Set<string>();

  constructor(storage: InMemoryStorage, onPublished: (event: OutboxRow) => void) {
    const { journal } = storage;
    const { can, deadLetters, flows, inbox, leases, mailbox, name, outbox, participants, queries, upkeep } =
      storage;
    this.storage = {
      can,
      deadLetters,
      flows,
      inbox,
      leases,
      mailbox,
      name,
      outbox,
      participants,
      queries,
      upkeep,
      start: () => storage.start(),
      stop: () => storage.stop(),
      listen: (listener) => storage.listen(listener),
      journal: {
        ...journal,
        append: async (batch) => {
          const receipt = await journal.append(batch);
          for (const { sagaId, events, outbox } of batch.entries) {
            if (events.some(({ type }) => OVER.has(type))) this.#over.add(sagaId);
            outbox.forEach(onPublished);
          }
          return receipt;
        },
      },
    };
  }

  isOver(sagaId: string): boolean {
    return this.#over.has(sagaId);
  }
}
