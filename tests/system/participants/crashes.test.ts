import pg from "pg";
import { expect, inject, test } from "vitest";
import { createDatabase } from "../../../tools/servers/postgres-databases.ts";
import { waitUntil } from "../../../tools/servers/wait-until.ts";
import { scenarioMsMax } from "../delivery/delivery-town.ts";
import { useServers } from "../delivery/servers.ts";
import { WorkerProcess } from "../worker-process.ts";
import type { OrchestratorProcessOptions } from "./orchestrator.ts";
import { PythonParticipant, whyNoPython } from "./python-participant.ts";

const servers = useServers();
const sagas = 120;

interface Row {
  readonly saga_id: string;
  readonly status: string;
}

test(
  "participant and orchestrator die again and again: what was asked was done once, or undone",
  { timeout: scenarioMsMax },
  async ({ skip, onTestFinished }) => {
    const missing = await whyNoPython();
    if (missing !== undefined) return skip(missing);
    const { url: brokerUrl } = servers.broker(skip);
    const { url: databaseUrl } = await createDatabase(servers.databaseServerUrl, { name: "participants" });
    const prefix = "crashes:";
    const pool = new pg.Pool({ connectionString: databaseUrl });
    onTestFinished(() => pool.end());
    await using participant = await PythonParticipant.open({ brokerUrl, prefix });
    const start = (n: number) => {
      const told: OrchestratorProcessOptions = {
        name: `orchestrator ${n}`,
        databaseUrl,
        brokerUrl,
        prefix,
        sagas,
      };
      return new WorkerProcess(inject("programs").orchestrator, told).ready();
    };
    const ended = async () =>
      (
        await pool.query<Row>(
          "select saga_id, status from sagaz.saga_executions where finished_at is not null",
        )
      ).rows;
    let orchestrator = await start(0);
    onTestFinished(() => orchestrator.kill());
    for (let n = 1; n <= 6; n++) {
      const before = (await ended()).length;
      await waitUntil("some have ended", async () => (await ended()).length >= Math.min(before + 8, sagas), {
        withinMs: 60_000,
        everyMs: 5,
      });
      await participant.kill();
      if (n % 2 === 0) {
        await orchestrator.kill();
        orchestrator = await start(n);
      }
      await participant.start();
    }
    await waitUntil("all have ended", async () => (await ended()).length === sagas, {
      withinMs: 90_000,
      everyMs: 100,
    }).catch(async (error: unknown) => {
      const open = await pool.query(
        "select status, waiting_for, parked_reason, error, count(*) from sagaz.saga_executions where finished_at is null group by 1, 2, 3, 4",
      );
      const said = [orchestrator.output.slice(-3_000), participant.output.slice(-2_000)];
      throw new Error([String(error), JSON.stringify(open.rows), ...said].join("\n"), { cause: error });
    });

    const rows = await ended();
    const counts = { completed: 0, compensated: 0 };
    const wrong: unknown[] = [];
    const effects = new Map<string, { do: number; undo: number }>();
    for (const [effect, direction] of (await participant.rows("select effect, direction from effects")) as [
      string,
      "do" | "undo",
    ][]) {
      const known = effects.get(effect) ?? { do: 0, undo: 0 };
      known[direction] += 1;
      effects.set(effect, known);
    }
    for (const { saga_id: id, status } of rows) {
      counts[status as keyof typeof counts] += 1;
      for (const step of ["bolt", "nut"]) {
        const seen = effects.get(`${id}/${step}`) ?? { do: 0, undo: 0 };
        const isRight =
          status === "completed" ? seen.do === 1 && seen.undo === 0 : seen.do === seen.undo && seen.do <= 1;
        if (!isRight) wrong.push({ id, status, step, ...seen });
      }
    }
    expect(wrong).toEqual([]);
    expect(counts).toEqual({ completed: 80, compensated: 40 });
    const left = await participant.rows("select sku, left_over from shelf order by sku");
    expect(left).toEqual([
      ["bolt", 100_000 - 80],
      ["nut", 100_000 - 80],
    ]);
    expect(participant.output).not.toContain("Traceback");
  },
);
