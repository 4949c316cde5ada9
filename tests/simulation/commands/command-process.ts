import { fail } from "../../../packages/sagaz/src/core/decide/outcome.ts";
import type { CommandMessage } from "../../../packages/sagaz/src/core/participant/messages.ts";
import type { SagaDefinition } from "../../../packages/sagaz/src/core/definition/definition.ts";
import { OutboxWorker } from "../../../packages/sagaz/src/runtime/delivery/outbox-worker.ts";
import { SagaOrchestrator } from "../../../packages/sagaz/src/runtime/orchestrator.ts";
import { Participant } from "../../../packages/sagaz/src/runtime/participant/participant.ts";
import type { CommandContext } from "../../../packages/sagaz/src/runtime/participant/participant-commands.ts";
import type { SeededChance } from "../../../packages/sagaz/src/testing/seeded-chance.ts";
import { Machine } from "../machine.ts";
import type { MachineParts } from "../machine.ts";
import type { CommandLedger } from "./command-ledger.ts";
import { commandName, commandTopic, declinesMax } from "./command-sagas.ts";
import type { CommandPayload } from "./command-sagas.ts";

/** A process that runs sagas, on their storage. */
export class AskingProcess extends Machine {
  readonly orchestrator: SagaOrchestrator;

  constructor(parts: MachineParts & { readonly definitions: readonly SagaDefinition[] }) {
    super(parts);
    const { chance, name, definitions } = parts;
    const { around, broker } = this;
    const leaseMs = drawLease(chance);
    const attemptsMax = chance.pick([1, 1, 3] as const);
    this.add(new OutboxWorker({ ...around, chance: chance.fork(), leaseMs, attemptsMax }));
    this.orchestrator = this.add(
      new SagaOrchestrator({
        ...around,
        sagas: definitions,
        replies: { topic: "replies", broker },
        workerName: name,
        chance: chance.fork(),
        leaseMs,
      }),
    );
  }
}

/** What a participant's process has besides. */
export interface AnsweringParts extends MachineParts {
  readonly ledger: CommandLedger;
  /** How often the business said no, by effect and direction: it is the same business in all processes. */
  readonly declined: Map<string, number>;
}

/** A process that does what sagas ask for, on a storage of its own. */
export class AnsweringProcess extends Machine {
  readonly #parts: AnsweringParts;
  readonly #chance: SeededChance;

  constructor(parts: AnsweringParts) {
    super(parts);
    this.#parts = parts;
    const { chance } = parts;
    const { around } = this;
    this.#chance = chance.fork();
    this.add(new OutboxWorker({ ...around, chance: chance.fork(), leaseMs: drawLease(chance) }));
    const act = {
      do: (ctx: CommandContext<CommandPayload>) => this.#do(ctx),
      undo: (ctx: CommandContext<CommandPayload>) => this.#undo(ctx),
    };
    this.add(
      new Participant({
        ...around,
        chance: chance.fork(),
        name: "workshop",
        topic: commandTopic,
        batchMax: chance.pick([1, 1, 3] as const),
        unackedMax: chance.pick([1, 5, 1_000] as const),
        commands: { [commandName]: act },
      }),
    );
  }

  async #do({ payload: { manner }, command, tx }: CommandContext<CommandPayload>): Promise<unknown> {
    await this.#takeTime();
    if (this.#chance.happens(manner.throws)) throw new Error("not now");
    this.#askBusiness(command, manner.declines);
    return this.#parts.ledger.change(tx, command);
  }

  async #undo({ payload: { manner }, command, tx }: CommandContext<CommandPayload>): Promise<void> {
    await this.#takeTime();
    if (manner.throws < 1 && this.#chance.happens(manner.throws)) throw new Error("not now");
    this.#askBusiness(command, manner.undoDeclines);
    this.#parts.ledger.change(tx, command);
  }

  #askBusiness({ effect, direction }: CommandMessage, declines: number): void {
    const { declined } = this.#parts;
    const key = `${effect}/${direction}`;
    const times = declined.get(key) ?? 0;
    if (times >= declinesMax || !this.#chance.happens(declines)) return;
    declined.set(key, times + 1);
    throw fail("declined");
  }

  #takeTime(): Promise<void> {
    const { clock, faults } = this.#parts;
    const { slowStorage, slowMs } = faults();
    const waitMs = this.#chance.happens(slowStorage) ? 1 + this.#chance.below(slowMs) : 0;
    return new Promise((resolve) => clock.setTimer(waitMs, () => this.deliver(resolve)));
  }
}

function drawLease(chance: SeededChance): number {
  return chance.pick([600, 1_500, 5_000] as const);
}
