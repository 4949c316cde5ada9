import type { StepContext, UndoContext } from "../../core/definition/context.ts";
import type { SagaDefinition, StepDefinition } from "../../core/definition/definition.ts";
import { buildGraph } from "../../core/definition/graph.ts";
import { outcomeUnknown } from "../../core/decide/outcome.ts";
import type { FakeClock } from "../fake-clock.ts";
import type { SeededChance } from "../seeded-chance.ts";
import type { Faults } from "./faults.ts";
import type { Receiver } from "./faulty-line.ts";
import type { History } from "./history.ts";
import { short } from "./watched-storage.ts";

/** One call of a step's function, as the engine makes it. */
export interface StepCall {
  readonly kind: "do" | "undo" | "verify";
  readonly definition: SagaDefinition;
  readonly step: StepDefinition;
  /** What the function sees: a copy as of the call, so that a request which arrives late still says the same. */
  readonly ctx: StepContext & Partial<Pick<UndoContext, "actionKey" | "outcome">>;
}

/** Who watches the calls of one process. */
export interface CallWatcher {
  /** The engine makes the call. */
  begins(call: StepCall): void;
  /** The function is about to run: now, later, twice, or after its process has died. */
  arrives(call: StepCall): void;
  /** The process hears that it is done. */
  heard(call: StepCall, answer: unknown): void;
}

/** What the calls of one process go through. */
export interface CallParts {
  readonly clock: FakeClock;
  readonly chance: SeededChance;
  readonly receiver: Receiver;
  readonly history: History;
  readonly faults: () => Faults;
  readonly watcher: CallWatcher;
  /** Counts what is under way, so that a run does not end before it. */
  readonly underway: { count: number };
}

/** The definition with every step's functions reached over a bad line. Same name, version and graph. */
export function overBadLine(definition: SagaDefinition, parts: CallParts): SagaDefinition {
  const steps = definition.steps.map((step) => stepOverBadLine(step, { definition, parts }));
  return { ...definition, steps, graph: buildGraph(steps) };
}

interface Place {
  readonly definition: SagaDefinition;
  readonly parts: CallParts;
}

function stepOverBadLine(step: StepDefinition, { definition, parts }: Place): StepDefinition {
  if (step.kind === "child") return { ...step, child: overBadLine(step.child, parts) };
  if (step.kind !== "action" && step.kind !== "map") return step;
  const through = <Context extends object>(
    kind: StepCall["kind"],
    run: ((ctx: Context) => unknown) | undefined,
  ) =>
    run &&
    ((ctx: Context): Promise<never> => {
      const call: StepCall = { kind, definition, step, ctx: snapshot(ctx) as StepCall["ctx"] };
      return new BadLine(parts, call).perform(() => run(call.ctx as Context)) as Promise<never>;
    });
  const wrapped = {
    do: through("do", step.do) ?? step.do,
    undo: through("undo", step.undo),
    verify: through("verify", step.verify),
  };
  return { ...step, ...wrapped };
}

/** What a context says now; the engine's own changes as the saga goes on. */
function snapshot(ctx: object): object {
  const fixed: PropertyDescriptorMap = {};
  for (const name of ["idempotencyKey", "attempt", "actionKey", "outcome", "result", "undone", "item"])
    if (name in ctx) fixed[name] = fixedProperty(ctx, name);
  fixed["tx"] = { get: () => Reflect.get(ctx, "tx") };
  return Object.create(ctx, fixed) as object;
}

function fixedProperty(ctx: object, name: string): PropertyDescriptor {
  try {
    return { value: Reflect.get(ctx, name) };
  } catch (error) {
    return {
      get() {
        throw error;
      },
    };
  }
}

interface Fate {
  readonly sendMs: number;
  readonly answerMs: number;
  readonly end: "answered" | "refused" | "cut before" | "cut after" | "silent before" | "silent after";
  readonly twice: boolean;
  /** The function gives up when it is told to; what it has sent still arrives. */
  readonly heedsAbort: boolean;
}

/** One call's way there and back. */
class BadLine {
  readonly #parts: CallParts;
  readonly #call: StepCall;
  readonly #label: string;
  #isOver = false;

  constructor(parts: CallParts, call: StepCall) {
    this.#parts = parts;
    this.#call = call;
    const { kind, ctx } = call;
    this.#label = `${kind} ${ctx.step} of ${short(ctx.sagaId)}`;
  }

  perform(run: () => unknown): Promise<unknown> {
    const { receiver, history, watcher } = this.#parts;
    const fate = this.#drawFate();
    history.saw("calls");
    history.note(`${receiver.name}: ${this.#label}, attempt ${this.#call.ctx.attempt}`);
    watcher.begins(this.#call);
    return new Promise((resolve, reject) => {
      const refuse = (error: unknown) =>
        receiver.deliver(() => {
          this.#isOver = true;
          reject(error);
        });
      if (fate.heedsAbort) this.#heedAbort(refuse);
      this.#later(fate.sendMs, () => {
        if (fate.end === "refused") return this.#refused(refuse);
        if (fate.end === "cut before") return this.#cut(refuse);
        if (fate.end === "silent before") return history.saw("silent calls");
        this.#arrive(run, { fate, refuse, resolve });
      });
    });
  }

  #arrive(
    run: () => unknown,
    line: { fate: Fate; refuse: (error: unknown) => void; resolve: (answer: unknown) => void },
  ): void {
    const { fate, refuse, resolve } = line;
    const { history, receiver, watcher } = this.#parts;
    if (receiver.isDead) history.saw("zombie calls");
    if (fate.sendMs > 100) history.saw("late calls");
    watcher.arrives(this.#call);
    const answer = this.#run(run);
    if (fate.twice) void answer.then(() => this.#repeat(run), ignore);
    void answer.then(
      (value) =>
        this.#later(fate.answerMs, () => {
          if (fate.end === "silent after") return history.saw("silent calls");
          if (fate.end === "cut after") return this.#cut(refuse);
          receiver.deliver(() => {
            // A function that gave up when it was told to does not hear what comes after.
            if (this.#isOver) return;
            watcher.heard(this.#call, value);
            history.note(`${receiver.name}: ${this.#label} answered`);
            resolve(value);
          });
        }),
      (error: unknown) => this.#later(fate.answerMs, () => refuse(error)),
    );
  }

  async #run(run: () => unknown): Promise<unknown> {
    return run();
  }

  #repeat(run: () => unknown): void {
    this.#parts.history.saw("repeated calls");
    this.#run(run).catch(ignore);
  }

  #refused(refuse: (error: unknown) => void): void {
    this.#parts.history.saw("refused calls");
    refuse(this.#parts.chance.pick(refusals)());
  }

  #cut(refuse: (error: unknown) => void): void {
    const { history, chance } = this.#parts;
    history.saw("lost replies");
    history.note(`${this.#label}: the reply is lost`);
    refuse(chance.pick(cuts)());
  }

  #heedAbort(refuse: (error: unknown) => void): void {
    const { signal } = this.#call.ctx as unknown as { signal: EventTarget & { reason: unknown } };
    signal.addEventListener("abort", () => refuse(signal.reason), { once: true });
  }

  #later(delayMs: number, call: () => void): void {
    if (delayMs === 0) return call();
    const { clock, underway } = this.#parts;
    underway.count++;
    clock.setTimer(delayMs, () => {
      underway.count--;
      call();
    });
  }

  #drawFate(): Fate {
    const { chance, faults } = this.#parts;
    const { refuseCall, loseReply, silence, late, lateMs, repeatCall } = faults();
    const slow = () => (chance.happens(late) ? 1 + chance.below(lateMs) : 0);
    const [sendMs, answerMs] = [slow(), slow()];
    const way = { sendMs, answerMs, twice: chance.happens(repeatCall), heedsAbort: chance.happens(0.3) };
    if (chance.happens(refuseCall)) return { ...way, end: "refused" };
    if (chance.happens(loseReply))
      return { ...way, end: chance.pick(["cut before", "cut after", "cut after"] as const) };
    if (chance.happens(silence))
      return { ...way, end: chance.pick(["silent before", "silent after"] as const) };
    return { ...way, end: "answered" };
  }
}

/** Failures that certainly took no effect, in all the shapes that JavaScript allows. */
const refusals: readonly [() => unknown, ...(() => unknown)[]] = [
  () => new Error("connection refused"),
  () => Object.assign(new Error("connection refused"), { code: "ECONNREFUSED" }),
  () => undefined,
  () => null,
  () => "a string",
  () => ({ message: "not an Error" }),
  () =>
    Object.defineProperty({}, "name", {
      get() {
        throw new Error("a getter that throws");
      },
    }),
];

/** Failures after which nobody knows. */
const cuts: readonly [() => unknown, ...(() => unknown)[]] = [
  () => Object.assign(new Error("socket hang up"), { code: "ECONNRESET" }),
  () => outcomeUnknown("no reply"),
  () => new Error("fetch failed", { cause: Object.assign(new Error("closed"), { code: "UND_ERR_SOCKET" }) }),
  () => Object.assign(new Error("gave up"), { name: "TimeoutError" }),
];

function ignore(): void {
  // Nobody waits for it: the first answer counted.
}
