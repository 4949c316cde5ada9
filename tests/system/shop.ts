import { fail, outcomeUnknown, type Verdict } from "sagaz";
import pg from "pg";
import { waitUntil } from "../../tools/servers/wait-until.ts";

/** Longer than any scenario: an order that still waits then is in a test that has failed. */
const gateMsMax = 60_000;

/** A function of a step that has begun, and what its participant has to know of it. */
export interface Call {
  readonly sagaId: string;
  readonly step: string;
  readonly signal: AbortSignal;
}

/** What a step returns: it tells in the journal which process recorded it. */
export interface Reply {
  readonly by: string;
}

/** The participants as one process sees them: a row for each call, and effects that happen once per idempotency key. */
export class Shop {
  readonly #pool: pg.Pool;
  readonly #worker: string;
  #opening: Promise<true> | undefined;

  constructor(url: string, worker: string) {
    this.#worker = worker;
    this.#pool = new pg.Pool({
      connectionString: url,
      application_name: `${worker} shop`,
      connectionTimeoutMillis: 2_000,
      query_timeout: 2_000,
    });
    // An idle connection that breaks is replaced; one in use fails its call.
    this.#pool.on("error", () => {});
  }

  /**
   * Notes that a function of a step begins here, and whether what became of it is on record. One that was told to stop
   * while it waited for a connection asks for nothing, so it is never heard: by now the saga may be somebody else's.
   */
  async begin({ sagaId, step, signal }: Call, way: "do" | "undo" = "do"): Promise<string> {
    const called = new Date();
    const { rows } = await this.#pool.query<{ id: string }>(
      `insert into shop.runs (saga_id, step, way, worker, called_at, was_recorded)
         select $1, $2, $3, $4, $6, exists (select from sagaz.saga_events where saga_id = $1 and step = $2 and type = $5)
         returning id`,
      [sagaId, step, way, this.#worker, way === "do" ? "step_done" : "step_compensated", called],
    );
    signal.throwIfAborted();
    return rows[0]!.id;
  }

  /** Does it, or finds that it was done under this key. */
  async ask(
    run: string,
    call: Call & { readonly idempotencyKey: string },
    entry: { readonly account: string; readonly amount: number },
  ): Promise<Reply> {
    const { rows } = await this.#pool
      .query<{ said: string }>("select shop.ask($1, $2, $3, $4, $5, $6) as said", [
        run,
        call.idempotencyKey,
        call.sagaId,
        call.step,
        entry.account,
        entry.amount,
      ])
      .catch((error: unknown) => {
        throw outcomeUnknown(`no answer came: ${String(error)}`);
      });
    if (rows[0]?.said === "refused") throw fail("this was undone before it was asked for");
    return { by: this.#worker };
  }

  /** Undoes what was done under the action's key, if anything was. */
  async undo(call: Call & { readonly actionKey: string }): Promise<void> {
    const run = await this.begin(call, "undo");
    await this.#pool.query("select shop.undo($1, $2, $3, $4)", [run, call.actionKey, call.sagaId, call.step]);
  }

  /** Tells whether anything was done under this key; a broken line is no answer, so it asks again. */
  async find(key: string): Promise<Verdict<Reply>> {
    const ask = () =>
      this.#pool.query("select 1 from shop.calls where key = $1 and done is not null and undone is null", [
        key,
      ]);
    const { rows } = await waitUntil("the shop answers", () => ask().catch(() => undefined), { everyMs: 50 });
    return rows.length > 0
      ? { outcome: "done", result: { by: `${this.#worker}, who found it` } }
      : { outcome: "not_done" };
  }

  /** Waits until the gate opens; a deaf caller goes on waiting when it is told to stop. */
  async waitAtGate(signal: AbortSignal, { isDeaf = false } = {}): Promise<void> {
    this.#opening ??= this.#watchGate();
    if (isDeaf) return void (await this.#opening);
    signal.throwIfAborted();
    const told = new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }),
    );
    await Promise.race([this.#opening, told]);
  }

  /** One look for all who wait in this process; while the database is away the gate is closed. */
  #watchGate(): Promise<true> {
    const isOpen = async () => {
      const answer = await this.#pool
        .query<{ is_open: boolean }>("select is_open from shop.gate")
        .catch(() => undefined);
      return answer?.rows[0]?.is_open;
    };
    return waitUntil("the gate is open", isOpen as () => Promise<true | undefined>, {
      withinMs: gateMsMax,
      everyMs: 20,
    });
  }

  end(): Promise<void> {
    return this.#pool.end();
  }
}
