import type { Ending, Order } from "./system.ts";
import { charge, NoCarrier, refund, release, reserve, ship, type Payment, type Reservation } from "./work.ts";

/** What travels from job to job: the saga's input and its results so far. */
export interface Parcel {
  readonly order: Order;
  readonly reservation?: Reservation;
  readonly payment?: Payment;
}

/** What follows a job: the next one with its parcel, or the end of the saga. */
export type Next = { readonly queue: Queue; readonly parcel: Parcel } | { readonly ending: Ending };

/** One queue for each action and each undo. */
export type Queue = "reserve" | "charge" | "ship" | "refund" | "release";

/** The order saga as a chain of jobs: what each queue does and what comes after it. */
export const stages: Readonly<Record<Queue, (parcel: Parcel) => Promise<Next>>> = {
  reserve: async ({ order }) => ({
    queue: "charge",
    parcel: { order, reservation: await reserve(order) },
  }),
  charge: async (parcel) => ({
    queue: "ship",
    parcel: { ...parcel, payment: await charge(parcel.order) },
  }),
  ship: async (parcel) => {
    try {
      await ship(parcel.order);
      return { ending: "completed" };
    } catch (error) {
      if (!(error instanceof NoCarrier)) throw error;
      return { queue: "refund", parcel };
    }
  },
  refund: async (parcel) => {
    await refund(carried(parcel.payment));
    return { queue: "release", parcel };
  },
  release: async (parcel) => {
    await release(carried(parcel.reservation));
    return { ending: "compensated" };
  },
};

/** The names of all queues. */
export const queues = Object.keys(stages) as Queue[];

function carried<T>(result: T | undefined): T {
  if (result === undefined) throw new Error("A job came without the results of the steps before it.");
  return result;
}
