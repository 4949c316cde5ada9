import { test, expect } from "vitest";
import { ClassicSaga } from "./classic-saga.ts";
import { SagaOrchestrator } from "./orchestrator.ts";
import { InMemoryStorage } from "../storage/memory/index.ts";
import { fail } from "../core/decide/outcome.ts";

test("smoke", async () => {
  const log: string[] = [];
  const saga = new ClassicSaga<{ n: number }>({ name: "order", sequential: true })
    .addStep(
      "a",
      (ctx) => {
        log.push("a");
        return { a: ctx.input.n };
      },
      (ctx) => {
        log.push("undo a");
      },
    )
    .addStep(
      "b",
      (ctx) => {
        log.push("b");
        return { b: 1 };
      },
      () => {
        log.push("undo b");
      },
    )
    .addStep("c", (ctx) => {
      log.push("c");
      if (ctx.input.n === 2) throw fail("declined");
      return { c: 1 };
    });
  const o = new SagaOrchestrator({ storage: new InMemoryStorage(), sagas: [saga] });
  await o.start();
  const h = await o.sagas.start(saga, { n: 1 });
  const r = await h.result();
  expect(r.status).toBe("completed");
  const h2 = await o.sagas.start(saga, { n: 2 });
  const r2 = await h2.result();
  console.log(r2, log, await o.sagas.get(h2.id));
  console.log((await o.sagas.events(h2.id)).map((e) => e.type));
  await o.stop();
});
