import { saga } from "../../../packages/sagaz/src/core/definition/builder.ts";
import type { InboxHandler } from "../../../packages/sagaz/src/runtime/delivery/consumer-inbox.ts";
import { InboxWorker } from "../../../packages/sagaz/src/runtime/delivery/inbox-worker.ts";
import { OptimisticPublisher } from "../../../packages/sagaz/src/runtime/delivery/optimistic-publisher.ts";
import { OutboxWorker } from "../../../packages/sagaz/src/runtime/delivery/outbox-worker.ts";
import { SagaOrchestrator } from "../../../packages/sagaz/src/runtime/orchestrator.ts";
import { Machine } from "../machine.ts";
import type { MachineParts } from "../machine.ts";
import { effectsTopic, hopelessType } from "./delivery-ledger.ts";

/** What a process is made of. */
export interface DeliveryProcessParts extends MachineParts {
  /** It has every part; others have some. */
  readonly isWhole: boolean;
}

/** How often a handler fails that would succeed another time: less than what makes it give up. */
const failuresMax = 2;

/** A saga whose steps publish. */
const publishing = saga("publishing")
  .step("first", { do: (ctx) => ctx.publish({ topic: "sagas", type: "first", payload: ctx.sagaId }) })
  .step("second", { do: (ctx) => ctx.publish({ topic: "sagas", type: "second", payload: ctx.sagaId }) })
  .build();

/** A process with relay, consumer, publisher and sagas in it, or some of them. */
export class DeliveryProcess extends Machine {
  readonly orchestrator: SagaOrchestrator;
  readonly publisher: OptimisticPublisher | undefined;
  readonly #parts: DeliveryProcessParts;
  readonly #failures = new Map<string, number>();

  constructor(parts: DeliveryProcessParts) {
    super(parts);
    this.#parts = parts;
    const { chance, name, isWhole } = parts;
    const { around } = this;
    const leaseMs = chance.pick([600, 1_500, 5_000] as const);
    const has = (probability: number) => chance.happens(probability) || isWhole;
    // It stops last: sagas that end meanwhile offer it their events.
    if (has(0.5)) this.publisher = this.add(new OptimisticPublisher(around));
    if (has(0.7)) {
      const batchMax = chance.pick([1, 3, 1_000] as const);
      this.add(new OutboxWorker({ ...around, chance: chance.fork(), leaseMs, batchMax }));
    }
    if (has(0.7)) this.add(this.#toConsumer());
    const { publisher } = this;
    this.orchestrator = this.add(
      new SagaOrchestrator({
        ...around,
        sagas: [publishing],
        workerName: name,
        chance: chance.fork(),
        leaseMs,
        ...(publisher ? { publisher } : {}),
      }),
    );
  }

  #toConsumer(): InboxWorker {
    const { chance } = this.#parts;
    return new InboxWorker({
      ...this.around,
      chance: chance.fork(),
      consumerName: "billing",
      topics: ["orders", "sagas"],
      batchMax: chance.pick([1, 3, 100] as const),
      handle: this.#toHandler(),
    });
  }

  #toHandler(): InboxHandler {
    const { clock, faults } = this.#parts;
    const chance = this.#parts.chance.fork();
    return async (_, { message, publish }) => {
      const { eventId, eventType } = message;
      const waitMs = chance.happens(faults().slowStorage) ? 1 + chance.below(faults().slowMs) : 0;
      publish({ topic: effectsTopic, type: "bill.made", payload: eventId });
      await new Promise<void>((resolve) => clock.setTimer(waitMs, () => this.deliver(resolve)));
      if (eventType === hopelessType) throw new Error("hopeless");
      const failures = this.#failures.get(eventId) ?? 0;
      if (failures >= failuresMax || !chance.happens(faults().refuseCall)) return;
      this.#failures.set(eventId, failures + 1);
      throw new Error("not now");
    };
  }

  /** Starts a saga whose steps publish. */
  startSaga(): void {
    const { history } = this.#parts;
    this.orchestrator.sagas.start("publishing", null).catch((error: unknown) => {
      history.note(`a client hears that a start failed: ${String(error)}`);
    });
  }
}
