import { readFileSync } from "node:fs";
import { fail, type SqlRunner } from "sagaz";
import type { Pool } from "pg";
import { overNetwork } from "./network.ts";
import type { Order } from "./order.ts";
import { Participant } from "./participant.ts";
import { Payments } from "./payments.ts";
import { Warehouse } from "./warehouse.ts";

/** The services that an order needs. In real life each is a process of its own; what the saga sees is the same. */
export interface Shop {
  readonly warehouse: Warehouse;
  readonly payments: Payments;
  readonly carrier: Carrier;
  readonly desk: Desk;
  readonly mail: Mail;
}

/** Opens the shop on its database. */
export function openShop(pool: Pool): Shop {
  return {
    warehouse: new Warehouse(pool),
    payments: new Payments(pool),
    carrier: new Carrier(pool),
    desk: new Desk(),
    mail: new Mail(pool),
  };
}

/** Makes the shop's tables, if they are not there from an earlier run. */
export async function createShop(pool: Pool): Promise<void> {
  await pool.query(readFileSync(new URL("shop.sql", import.meta.url), "utf8"));
}

/** A parcel that waits to be collected. */
interface Parcel {
  readonly tracking: string;
}

class Carrier {
  readonly #participant: Participant<Parcel>;

  constructor(pool: Pool) {
    this.#participant = new Participant(pool);
  }

  async book({ number, address }: Order, key: string): Promise<Parcel> {
    if (address.country === "AQ") throw fail(`no carrier delivers to ${address.city}`);
    const { reply } = await overNetwork(key, () =>
      this.#participant.once(key, async (sql) => {
        const tracking = `PX${number.replace("-", "")}`;
        await sql("insert into demo_shop.parcels values ($1, $2)", [tracking, number]);
        return { tracking };
      }),
    );
    return reply;
  }

  cancel(key: string): Promise<void> {
    return overNetwork(key, () =>
      this.#participant.undo(key, async (sql, { tracking }) => {
        await sql("update demo_shop.parcels set cancelled_at = now() where tracking = $1", [tracking]);
      }),
    );
  }
}

class Desk {
  /** Writes in the engine's own transaction, so it needs no key: it commits with the step's result, or not at all. */
  async confirm({ number }: Order, tx: SqlRunner): Promise<{ readonly contract: string }> {
    await tx("update demo_shop.orders set confirmed_at = now() where number = $1", [number]);
    return { contract: `C-${number}` };
  }
}

class Mail {
  readonly #participant: Participant<{ readonly text: string }>;

  constructor(pool: Pool) {
    this.#participant = new Participant(pool);
  }

  async confirm(
    { order, tracking }: { readonly order: Order; readonly tracking: string },
    key: string,
  ): Promise<{ readonly text: string }> {
    const { reply } = await overNetwork(key, () =>
      this.#participant.once(key, async (sql) => {
        await sql("insert into demo_shop.mails values ($1, 'confirmation')", [order.number]);
        return { text: `Dear ${order.customer.name}, your parcel is ${tracking}.` };
      }),
    );
    return reply;
  }
}
