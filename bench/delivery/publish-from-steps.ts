import { saga, SagaOrchestrator, type StepContext } from "sagaz";
import { newEvent } from "./events.ts";
import { clients } from "./plan.ts";
import type { ProduceTask } from "./produce.ts";
import { withStorage } from "./sagaz-relay.ts";
import { takeTurns } from "./turns.ts";

/** Sagas of three steps that end a second: none of them publishes, or one does. */
export interface Stepped {
  readonly silent: number;
  readonly publishing: number;
}

let published = 0;

const toSaga = (name: string, publish: (ctx: StepContext) => void) =>
  saga(name)
    .step("reserve", { do: () => {}, undo: () => {} })
    .step("charge", { do: publish, undo: () => {} })
    .step("ship", { do: () => {} })
    .build();

const sagas = {
  silent: toSaga("silent", () => {}),
  publishing: toSaga("publishing", (ctx) => ctx.publish(newEvent((published += 1)))),
};

/** Starts sagas and waits for each, by 16 callers at the same time, with a step that publishes and without in turn. */
export function publishFromSteps({ url, warmMs, forMs }: ProduceTask): Promise<Stepped> {
  return withStorage(url, async ({ storage }) => {
    const orchestrator = new SagaOrchestrator({ storage, sagas: Object.values(sagas) });
    await orchestrator.start();
    const run = async (name: keyof typeof sagas) => {
      const handle = await orchestrator.sagas.start(sagas[name], undefined);
      await handle.result();
    };
    const ways = { silent: () => run("silent"), publishing: () => run("publishing") };
    const callers = Array.from({ length: clients }, (_, n) => n);
    await takeTurns(ways, callers, warmMs);
    const stepped = await takeTurns(ways, callers, forMs);
    await orchestrator.stop();
    return stepped;
  });
}
