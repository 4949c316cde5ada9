/**
 * `npm run demo`: orders of a shop as sagas on a real PostgreSQL, a worker that is killed with sagas in flight, and a
 * reconciliation of stock and money. Exits with 1 when the books do not add up.
 */
import type { Pool } from "pg";
import { startEmbeddedPostgres } from "sagaz/embedded";
import { deliver } from "./catalogue.ts";
import { openOffice } from "./office.ts";
import { readOrders, type Order } from "./order.ts";
import { nextRun, type OrderBook, type PlacedOrder } from "./order-book.ts";
import { describeOutcome } from "./outcomes.ts";
import { countRepeats, reconcile } from "./reconciliation.ts";
import { Screen } from "./screen.ts";
import { createShop } from "./shop.ts";
import { openPool } from "./sql.ts";
import { until } from "./until.ts";
import { watch, type Endings } from "./watch.ts";
import { WorkerProcess } from "./worker-process.ts";

const PART_ONE = 28;

/** What all parts of the story share. */
interface Stage {
  readonly url: string;
  readonly pool: Pool;
  readonly run: number;
  readonly screen: Screen;
  readonly endings: Endings;
  /** Ctrl-C. */
  readonly signal: AbortSignal;
}

async function ordersComeIn(stage: Stage, orders: readonly Order[]): Promise<void> {
  const { run, screen, endings } = stage;
  screen.heading(`1  ${orders.length} orders come in; this process runs their sagas`);
  await using office = await openOffice(stage);
  const { book } = office;
  const placed = await Promise.all(orders.map((order) => book.place(order, run)));
  await watch(book, placed, { screen, endings });
  await helpParked(stage, book, placed);
}

/** A saga whose undo is refused is parked, not forgotten: somebody removes the reason and lets it try again. */
async function helpParked(stage: Stage, book: OrderBook, placed: readonly PlacedOrder[]): Promise<void> {
  const { screen, endings } = stage;
  for (const order of placed) {
    const result = endings.get(order.number);
    if (!result?.parked) continue;
    screen.line(describeOutcome(order, result, screen));
    await book.closeDispute(order);
    endings.set(order.number, await book.ending(order));
    screen.line(`    ann: the bank closed the dispute, try again → ${endings.get(order.number)?.status}`);
  }
}

async function aWorkerDies(stage: Stage, orders: readonly Order[]): Promise<void> {
  const { url, run, screen, endings, signal } = stage;
  screen.heading(`2  ${orders.length} orders for a worker that is killed`);
  await using office = await openOffice(stage, { sagasInFlightMax: 0 });
  const { book } = office;
  await using first = await WorkerProcess.start(url);
  const placed = await Promise.all(orders.map((order) => book.place(order, run)));
  await until("the first order is all but through, and others are in the middle", 20_000, async () => {
    signal.throwIfAborted();
    return (await book.stepsInFlight(placed)).includes("send_confirmation");
  });
  const inFlight = await book.stepsInFlight(placed);
  await first.kill();
  screen.line(`  kill -9 ${first.pid}, with ${inFlight.length} sagas in flight: ${tally(inFlight)}`);
  await using second = await WorkerProcess.start(url);
  screen.line(
    `  worker ${second.pid} starts, and takes them over when the dead one's lease (2 s) has run out`,
  );
  await watch(book, placed, { screen, endings });
  await second.stop();
}

function tally(words: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${count} at ${word}`).join(", ");
}

/** Holds the books against every order, also of earlier runs; one that was broken off left sagas that end now. */
async function reckon(stage: Stage): Promise<boolean> {
  const { pool, run, screen, endings } = stage;
  await using office = await openOffice(stage);
  const orders = await office.book.list();
  const open = orders.filter(({ number }) => !endings.has(number));
  await Promise.all(open.map(async (order) => endings.set(order.number, await office.book.ending(order))));
  await helpParked(stage, office.book, open);

  screen.heading(`3  What became of the orders of run ${run}`);
  for (const order of orders) {
    const result = endings.get(order.number);
    if (result && order.number.startsWith(`R${run}-`)) screen.line(describeOutcome(order, result, screen));
  }
  screen.heading(`4  Reconciliation of ${orders.length} orders${run > 1 ? ` of ${run} runs` : ""}`);
  const outcomes = orders.map(({ number }) => ({ number, status: endings.get(number)?.status ?? "unknown" }));
  const findings = await reconcile(pool, outcomes);
  for (const { what, looked, wrong } of findings) {
    screen.line(`  ${wrong.length === 0 ? "ok   " : "WRONG"} ${what} (${looked})`);
    for (const line of wrong) screen.line(`        ${line}`);
  }
  screen.line(
    `  ${await countRepeats(pool)} calls were repeated with the same idempotency key and did nothing twice`,
  );
  return findings.every(({ wrong }) => wrong.length === 0);
}

async function play(scene: Pick<Stage, "url" | "screen" | "signal">): Promise<boolean> {
  const { url, screen } = scene;
  const pool = openPool(url, 20);
  try {
    await createShop(pool);
    await deliver(pool);
    const run = await nextRun(pool);
    if (run > 1) screen.line(`  run ${run}, on the data of the runs before: new order numbers, new stock`);
    const stage: Stage = { ...scene, pool, run, endings: new Map() };
    const orders = readOrders(run);
    await ordersComeIn(stage, orders.slice(0, PART_ONE));
    await aWorkerDies(stage, orders.slice(PART_ONE));
    return await reckon(stage);
  } finally {
    await pool.end();
  }
}

async function main(signal: AbortSignal): Promise<boolean> {
  const screen = new Screen();
  screen.line("sagaz demo: starting an embedded PostgreSQL, a real server with its data in .sagaz/demo");
  const server = await startEmbeddedPostgres({ dataDir: ".sagaz/demo" });
  try {
    screen.line(`  it listens on 127.0.0.1:${server.port}`);
    const addsUp = await play({ url: server.url, screen, signal });
    screen.line(
      addsUp ? "\nEverything adds up. Run it again, or break it off: it goes on." : "\nThe books are WRONG.",
    );
    return addsUp;
  } finally {
    await server.stop();
  }
}

const breakOff = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => breakOff.abort());
try {
  process.exitCode = (await main(breakOff.signal)) ? 0 : 1;
} catch (error) {
  process.exitCode = breakOff.signal.aborted ? 130 : 1;
  if (breakOff.signal.aborted) console.log("\nBroken off. The next run goes on with what is in flight.");
  else console.error(error, "\nTo begin anew, remove the folder .sagaz/demo.");
}
