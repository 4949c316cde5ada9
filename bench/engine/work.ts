import { appendFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Order } from "./system.ts";

/** What the first step returns. */
export interface Reservation {
  readonly reservationId: string;
  readonly quantity: number;
}

/** What the second step returns. */
export interface Payment {
  readonly paymentId: string;
  readonly amount: number;
}

/** What the third step returns. */
export interface Shipment {
  readonly shipmentId: string;
  readonly carrier: string;
}

/** The third step's failure: final, so no system may retry it. */
export class NoCarrier extends Error {
  override readonly name = "NoCarrier";
}

/** How often actions and undos ran in this process; the load checks it, so that nobody wins by doing less. */
export const ran = { actions: 0, undos: 0 };

let journal: string | undefined;

/** From now on every action that begins also appends a line to `file`, which survives `kill -9` of this process. */
export function recordStepsIn(file: string): void {
  journal = file;
}

function note(step: string, order: Order): void {
  ran.actions += 1;
  if (journal !== undefined) appendFileSync(journal, `${order.orderId} ${step}\n`);
}

/** First step. */
export async function reserve(order: Order): Promise<Reservation> {
  note("reserve", order);
  return { reservationId: `r-${order.orderId}`, quantity: order.quantity };
}

/** Second step: at once, or after `chargeMs` in the recovery measure. */
export async function charge(order: Order): Promise<Payment> {
  note("charge", order);
  if (order.chargeMs > 0) await delay(order.chargeMs);
  return { paymentId: `p-${order.orderId}`, amount: order.amount };
}

/**
 * Third step.
 *
 * @throws NoCarrier when the order is one that fails.
 */
export async function ship(order: Order): Promise<Shipment> {
  note("ship", order);
  if (order.fails) throw new NoCarrier(`no carrier for ${order.orderId}`);
  return { shipmentId: `s-${order.orderId}`, carrier: "post" };
}

/** Undo of the second step. */
export async function refund(payment: Payment): Promise<{ refunded: number }> {
  ran.undos += 1;
  return { refunded: payment.amount };
}

/** Undo of the first step. */
export async function release(reservation: Reservation): Promise<{ released: string }> {
  ran.undos += 1;
  return { released: reservation.reservationId };
}
