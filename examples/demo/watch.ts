import type { SagaResult } from "sagaz";
import type { OrderBook, PlacedOrder } from "./order-book.ts";
import { describeOutcome } from "./outcomes.ts";
import type { Screen } from "./screen.ts";

const LOOK_MS = 100;

/** How the sagas of orders ended, by order number. */
export type Endings = Map<string, SagaResult<unknown>>;

/** Shows how the orders stand, until each saga has ended or is parked. */
export async function watch(
  book: OrderBook,
  orders: readonly PlacedOrder[],
  { screen, endings }: { readonly screen: Screen; readonly endings: Endings },
): Promise<void> {
  const began = performance.now();
  let isOver = false;
  const show = async () => {
    const statuses = await book.statuses(orders);
    if (!isOver) screen.progress(statuses, (performance.now() - began) / 1_000);
  };
  const timer = screen.isLive ? setInterval(() => void show().catch(() => {}), LOOK_MS) : undefined;
  try {
    await Promise.all(
      orders.map(async (order) => {
        const result = await book.ending(order);
        endings.set(order.number, result);
        if (!screen.isLive) screen.line(describeOutcome(order, result, screen));
      }),
    );
  } finally {
    isOver = true;
    clearInterval(timer);
    screen.endProgress();
  }
}
