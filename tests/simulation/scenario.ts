import { LIMITS } from "../../packages/sagaz/src/core/definition/policies.ts";
import type { SagaDefinition } from "../../packages/sagaz/src/core/definition/definition.ts";
import { Simulation } from "../../packages/sagaz/src/testing/simulator/simulation.ts";
import type { SimulatedProcess } from "../../packages/sagaz/src/testing/simulator/simulated-process.ts";
import { SeededChance } from "../../packages/sagaz/src/testing/seeded-chance.ts";
import { liveOut } from "./live-out.ts";
import type { Outcome } from "./live-out.ts";
import { Operator } from "./operator.ts";
import { Participants } from "./participants.ts";
import { drawRepertoire } from "./random-definition.ts";
import { judgeOrder, judgeWorld } from "./world-laws.ts";
import type { World } from "./world-laws.ts";

const sagasMax = 4;

/** Runs the random world of one seed, from its first start to the judgement. */
export async function runSeed(seed: number): Promise<Outcome> {
  const chance = new SeededChance(seed);
  const participants = new Participants(chance.fork());
  const { definitions, manners } = drawRepertoire(chance.fork(), participants);
  const heardBy = new Map<string, Set<SimulatedProcess>>();
  const simulation: Simulation = new Simulation({
    seed,
    definitions,
    patchy: chance.happens(0.15),
    watch: (process) => ({
      begins: ({ kind, ctx, definition, step }) => {
        if (kind !== "do") return;
        participants.sent(ctx.idempotencyKey);
        const kills = manners.get(`${definition.name}/${step.name}`)?.kills ?? 0;
        if (kills === 0 || !chance.happens(kills)) return;
        simulation.crash(process);
        // Somebody asks something of the next process, which is to give the saga up and lives to read it.
        const { adoptions = 0 } = simulation.storage.row(ctx.sagaId) ?? {};
        if (adoptions + 1 === LIMITS.adoptionsMax && chance.happens(0.5))
          simulation.clock.setTimer(chance.below(1_000), () => operator.ask(ctx.sagaId));
      },
      arrives: (call) => {
        if (call.kind === "do") participants.arrived(call.ctx.idempotencyKey);
        if (call.kind === "undo") judgeOrder(call, toWorld());
      },
      heard: (call, answer) => {
        const what = JSON.stringify(answer);
        if (call.kind === "do") heardBy.set(what, (heardBy.get(what) ?? new Set()).add(process));
      },
    }),
  });
  const operator = new Operator(simulation, participants);
  const byName = new Map(withChildren(definitions).map((definition) => [definition.name, definition]));
  function toWorld(): World {
    const heard = [...heardBy].filter(([, by]) => [...by].some(({ isUp }) => isUp));
    const heardKeys = new Set(heard.map(([key]) => key));
    return { simulation, participants, requests: operator.requests, definitions: byName, heard: heardKeys };
  }
  return liveOut({ seed, history: simulation.history }, async () => {
    await live(simulation, { definitions, operator, chance });
    simulation.judge();
    judgeWorld(toWorld());
  });
}

async function live(
  simulation: Simulation,
  {
    definitions,
    operator,
    chance,
  }: { definitions: readonly SagaDefinition[]; operator: Operator; chance: SeededChance },
): Promise<void> {
  const clients = new Clients(simulation, { definitions, chance: chance.fork() });
  const asksOften = chance.pick([0, 0.1, 0.5] as const);
  await simulation.chaos(chance.pick([2_000, 10_000, 30_000] as const), () => {
    if (clients.started < sagasMax && chance.happens(0.6)) clients.start();
    if (chance.happens(asksOften)) operator.disturb();
  });
  clients.endTransactions();
  if (chance.happens(0.02)) {
    // Longer than an id may wait to be written.
    simulation.outage(330_000);
    operator.disturb();
    clients.start();
    await simulation.clock.advance(331_000);
  }
  if (chance.happens(0.03)) await simulation.desert(330_000);
  await simulation.rest();
  for (let round = chance.below(6); round > 0; round--) {
    operator.tidyUp();
    await simulation.rest();
  }
}

function withChildren(definitions: readonly SagaDefinition[]): SagaDefinition[] {
  return definitions.flatMap((definition) => [
    definition,
    ...withChildren(definition.steps.flatMap((step) => (step.kind === "child" ? [step.child] : []))),
  ]);
}

/** Those who start sagas: with and without keys, now and later, and inside transactions of their own. */
class Clients {
  started = 0;
  readonly #simulation: Simulation;
  readonly #definitions: readonly SagaDefinition[];
  readonly #chance: SeededChance;
  readonly #open: (() => void)[] = [];

  constructor(
    simulation: Simulation,
    { definitions, chance }: { definitions: readonly SagaDefinition[]; chance: SeededChance },
  ) {
    this.#simulation = simulation;
    this.#definitions = definitions;
    this.#chance = chance;
  }

  start(): void {
    const { processes, now } = { processes: this.#simulation.processes, now: this.#simulation.now() };
    const process = processes[this.#chance.below(Math.max(1, processes.length))];
    const definition = this.#definitions[this.#chance.below(this.#definitions.length)];
    if (!process || process.isHalted || !definition) return;
    this.started++;
    const { name } = definition;
    const key = this.#chance.happens(0.4) ? { idempotencyKey: `order-${this.#chance.below(2)}` } : {};
    const startAt = this.#chance.happens(0.1) ? { startAt: new Date(now + this.#chance.below(5_000)) } : {};
    const tenant = this.#chance.happens(0.8) ? { tenantId: this.#chance.pick(["a", "a", "b"] as const) } : {};
    const options = { ...key, ...startAt, ...tenant };
    if (this.#chance.happens(0.1))
      return this.#startInTransaction(process, { name, input: { order: 4711 }, options });
    void this.#simulation.start(process, { name, input: { order: 4711 }, options });
  }

  #startInTransaction(
    process: SimulatedProcess,
    start: { name: string; input: unknown; options: object },
  ): void {
    const transaction = this.#simulation.storage.begin();
    const tx: { state: "open" | "committed" | "rolled back" } = { state: "open" };
    const options = { ...start.options, tx: transaction.tx };
    void this.#simulation.start(process, { ...start, options }, tx);
    const commits = this.#chance.happens(0.6);
    const end = () => {
      if (tx.state !== "open") return;
      tx.state = commits ? "committed" : "rolled back";
      void (commits ? transaction.commit() : transaction.rollback());
    };
    this.#open.push(end);
    this.#simulation.clock.setTimer(this.#chance.below(2_000), end);
  }

  /** Ends what is still open. */
  endTransactions(): void {
    for (const end of this.#open) end();
  }
}
