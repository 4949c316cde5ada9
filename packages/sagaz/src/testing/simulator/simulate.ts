import { AssertionError } from "node:assert";
import { definitionOf } from "../../core/definition/definition-of.ts";
import type { SagaDefinition } from "../../core/definition/definition.ts";
import { definitionKey } from "../../core/definition/sagaish.ts";
import type { Sagaish } from "../../core/definition/sagaish.ts";
import { fold } from "../../core/saga/evolve.ts";
import { fromStored } from "../../runtime/entry.ts";
import { toResult } from "../../runtime/saga-result.ts";
import type { SagaResult } from "../../runtime/saga-result.ts";
import { addSights } from "./history.ts";
import type { Breach, History, Sights } from "./history.ts";
import { Simulation } from "./simulation.ts";

/** How to simulate a saga. */
export interface SimulateOptions<Input, World = undefined> {
  /** The input of every saga. */
  readonly input: Input;
  /** How many worlds, each from a seed of its own: 1, 2, 3 … Default 100. */
  readonly seeds?: number;
  /** Only this one: what the message of a failure tells you to run. */
  readonly seed?: number;
  /** Sagas that run in each world. Default 3. */
  readonly sagas?: number;
  /** Makes everything that the steps reach, or resets it: called at the beginning of each run. */
  readonly world?: () => World;
  /**
   * What must be true when all sagas have ended or are parked: answers false, or throws, when it is not. Without it
   * only the engine's own laws are judged.
   */
  readonly invariant?: (
    world: World,
    sagas: readonly SagaResult<unknown>[],
  ) => boolean | void | Promise<boolean | void>;
}

/** What a simulation saw, by kind: a kind that is not there was not tested. */
export interface SimulateReport {
  readonly seeds: number;
  readonly seen: Sights;
}

/** A saga, or how to make it of the world that its steps are to reach. */
export type SagaInWorld<Input, World> = Sagaish<Input> | ((world: World) => Sagaish<Input>);

const seedsDefault = 100;
const sagasDefault = 3;
/** How long things go wrong in a world, in milliseconds of its clock. */
const chaosMs = [1_000, 5_000, 20_000] as const;

/**
 * Runs your own steps with the real engine in worlds where everything goes wrong that can: processes crash, stand still
 * and come back, the storage goes away and loses answers, calls of your steps fail, arrive late, twice, or never, and
 * their replies get lost. A week of it takes milliseconds, since the clock is a fake one; steps must not wait for
 * real timers or real I/O. Each world is run twice: the same seed must give the same history.
 *
 * Your steps should be what the engine asks of participants: idempotent by `ctx.idempotencyKey`, and fenced, so that
 * an action which arrives after its undo is refused. {@link FencedParticipant} is a fake that is both.
 *
 * @throws AssertionError with the law that was broken, the end of the history, and the seed that repeats it.
 *
 * @example
 * await simulate((shop: Shop) => orderSaga(shop), {
 *   world: () => new Shop({ stock: 100 }),
 *   input: order,
 *   seeds: 1_000,
 *   invariant: (shop) => shop.stock + shop.reserved === 100,
 * });
 */
export async function simulate<Input, World = undefined>(
  saga: SagaInWorld<Input, World>,
  options: SimulateOptions<Input, World>,
): Promise<SimulateReport> {
  const seen: Sights = {};
  const seeds = seedsOf(options);
  for (const seed of seeds) {
    const first = await runOnce(saga, { ...options, seed });
    const second = await runOnce(saga, { ...options, seed });
    const [breach] = [...first.breaches, ...differences(first, second)];
    if (breach) throw broken(breach, { seed, history: first });
    addSights(seen, first.sights);
  }
  return { seeds: seeds.length, seen };
}

function seedsOf({
  seed,
  seeds = seedsDefault,
}: {
  readonly seed?: number;
  readonly seeds?: number;
}): number[] {
  return seed === undefined ? Array.from({ length: seeds }, (_, i) => i + 1) : [seed];
}

async function runOnce<Input, World>(
  saga: SagaInWorld<Input, World>,
  options: SimulateOptions<Input, World> & { readonly seed: number },
): Promise<History> {
  const { seed, input, sagas = sagasDefault } = options;
  const world = options.world?.() as World;
  const definition = definitionIn(saga, world);
  const simulation = new Simulation({ seed, definitions: [definition] });
  let left = sagas;
  const startOne = () => {
    const process = simulation.processes.find(({ isHalted }) => !isHalted);
    if (!process || left === 0) return;
    left--;
    void simulation.start(process, { name: definition.name, input });
  };
  await simulation.chaos(simulation.chance.pick(chaosMs), startOne);
  await simulation.rest();
  simulation.judge();
  await judgeWorld(options, { world, simulation, definition });
  return simulation.history;
}

function definitionIn<Input, World>(saga: SagaInWorld<Input, World>, world: World): SagaDefinition {
  return definitionOf(isMaker(saga) ? saga(world) : saga);
}

function isMaker<Input, World>(saga: SagaInWorld<Input, World>): saga is (world: World) => Sagaish<Input> {
  if (typeof saga !== "function") return false;
  const prototype: unknown = saga.prototype;
  return !(typeof prototype === "object" && prototype !== null && definitionKey in prototype);
}

async function judgeWorld<Input, World>(
  { invariant }: SimulateOptions<Input, World>,
  { world, simulation, definition }: { world: World; simulation: Simulation; definition: SagaDefinition },
): Promise<void> {
  if (!invariant) return;
  const { storage, history } = simulation;
  const results = storage.rows.map(({ sagaId }) => {
    const state = fold(sagaId, storage.journal(sagaId).map(fromStored));
    return toResult(state, state.started.name === definition.name ? definition : undefined);
  });
  const ends = results.map(({ status }) => status).join(", ");
  try {
    if ((await invariant(world, results)) === false)
      history.breach("your invariant", `it answered false; the sagas ended as: ${ends}`);
  } catch (error) {
    history.breach("your invariant", `${String(error)}; the sagas ended as: ${ends}`);
  }
}

function differences(first: History, second: History): Breach[] {
  const place = first.lines.findIndex((line, i) => line !== second.lines[i]);
  if (place < 0 && first.lines.length === second.lines.length) return [];
  const lines = `line ${place + 1}: ${first.lines[place] ?? "the end"} / ${second.lines[place] ?? "the end"}`;
  const advice = "Steps may use no other clock, chance or memory than what the world is made of.";
  return [{ law: "one seed has one history", detail: `${lines}. ${advice}` }];
}

function broken(
  { law, detail }: Breach,
  { seed, history }: { seed: number; history: History },
): AssertionError {
  const tail = history.tail().map((line) => `  ${line}`);
  const message = [
    `${law}: ${detail}`,
    ...tail,
    `Replay with { seed: ${seed} } among the options of simulate().`,
  ].join("\n");
  return new AssertionError({ message, operator: "simulate" });
}
