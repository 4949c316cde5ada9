import { describe, expect, onTestFinished, test } from "vitest";
import { InMemoryBroker } from "../../brokers/memory/index.ts";
import { fail } from "../../core/decide/outcome.ts";
import { drawFlow } from "../../core/delivery/flow.ts";
import { SagaError } from "../../core/errors.ts";
import { silentLog } from "../../ports/log.ts";
import { InMemoryStorage } from "../../storage/memory/index.ts";
import { FakeClock } from "../../testing/fake-clock.ts";
import { SeededChance } from "../../testing/seeded-chance.ts";
import { Choreography, type ChoreographyOptions } from "./choreography.ts";
import { FlowTracker } from "./flow-tracker.ts";
import { OutboxWorker } from "./outbox-worker.ts";
import type { Reaction } from "./reactions.ts";

interface Life {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Services, each with a storage and a relay of its own, around one broker, on a clock that moves when told. */
class Town {
  readonly clock = new FakeClock();
  readonly broker = new InMemoryBroker();
  /** What was done and undone, in order. */
  readonly deeds: string[] = [];
  #seed = 0;

  #options(storage: InMemoryStorage) {
    const broker = new InMemoryBroker({ beside: this.broker });
    // Ids are made of chance: what two services publish must differ.
    const chance = new SeededChance((this.#seed += 1));
    return { storage, broker, clock: this.clock, chance, log: silentLog };
  }

  async service(
    consumerName: string,
    reactions: ChoreographyOptions["reactions"],
    more: Partial<ChoreographyOptions> = {},
  ): Promise<Choreography> {
    const storage = new InMemoryStorage({ clock: this.clock });
    await this.#begin(new OutboxWorker(this.#options(storage)));
    return this.#begin(new Choreography({ ...this.#options(storage), consumerName, reactions, ...more }));
  }

  tracker(
    topics: readonly string[],
    storage = new InMemoryStorage({ clock: this.clock }),
  ): Promise<FlowTracker> {
    return this.#begin(new FlowTracker({ ...this.#options(storage), topics }));
  }

  async #begin<One extends Life>(one: One): Promise<One> {
    onTestFinished(() => this.drive(one.stop()));
    await this.drive(one.start());
    await this.clock.advance(100);
    return one;
  }

  /** An event from outside. */
  async happens(type: string, headers: Record<string, string> = {}, payload: unknown = {}): Promise<void> {
    await this.broker.start();
    const [topic = ""] = type.split(".");
    const all = { ce_id: `${type} ${headers["correlation-id"] ?? ""}`, ce_type: type, ...headers };
    await this.broker.publish([{ topic, key: "k", headers: all, payload: JSON.stringify(payload) }]);
  }

  async drive<T>(promise: Promise<T>): Promise<T> {
    const state = { isSettled: false };
    const settled = promise.finally(() => (state.isSettled = true));
    settled.catch(() => {});
    while (!state.isSettled) await this.clock.advance(10);
    return settled;
  }

  async until(what: () => boolean | Promise<boolean>, forMs = 600_000): Promise<void> {
    const patience = this.clock.monotonic() + forMs;
    while (!(await what())) {
      if (this.clock.monotonic() > patience) throw new Error(`not within ${forMs} ms: ${String(what)}`);
      await this.clock.advance(10);
    }
  }

  /** Lets all that is under way come to an end. */
  settle(): Promise<void> {
    return this.clock.advance(120_000);
  }
}

const on = (type: string) => ({ topic: type.split(".")[0] ?? "", type });

/** Reserves when an order is placed, and releases when the payment fails. */
function reserves(town: Town, more: Partial<Reaction> = {}): Record<string, Reaction> {
  const reserve: Reaction<{ readonly fails?: boolean }, { readonly reservation: string }> = {
    on: on("orders.placed"),
    do: ({ fails = false }, { flowId, publish }) => {
      town.deeds.push(`reserve ${flowId}`);
      publish({ ...on("stock.reserved"), payload: {} });
      if (fails) throw fail("sold out");
      return { reservation: `r-${flowId}` };
    },
    failed: ({ message }) => ({ ...on("stock.refused"), payload: { message } }),
    undoOn: [on("payments.declined")],
    undo: ({ reservation }, { publish }) => {
      town.deeds.push(`release ${reservation}`);
      publish({ ...on("stock.released"), payload: {} });
    },
  };
  return { reserve: { ...reserve, ...more } };
}

/** Declines what it is asked to pay. */
function declines(town: Town): Record<string, Reaction> {
  const pay: Reaction = {
    on: on("stock.reserved"),
    do: () => {
      town.deeds.push("pay");
      throw fail("card declined");
    },
    failed: () => ({ ...on("payments.declined"), payload: {} }),
  };
  return { pay };
}

describe("a choreography", () => {
  test("is a flow through services, which is undone when one of them cannot do its part", async () => {
    const town = new Town();
    await town.service("stock", reserves(town));
    await town.service("payments", declines(town));
    const tracker = await town.tracker(["orders", "stock", "payments"]);
    await town.happens("orders.placed", { "correlation-id": "order-1" });
    await town.until(async () => (await tracker.get("order-1")).length === 4);
    expect(town.deeds).toEqual(["reserve order-1", "pay", "release r-order-1"]);
    const drawing = drawFlow(await tracker.get("order-1"));
    expect(drawing.replace(/ {2}(\+\d+ ms|\d{4}-.*Z)/g, "")).toBe(
      [
        "orders.placed  orders",
        "└─ stock.reserved  stock",
        "   └─ payments.declined  payments  failure",
        "      └─ stock.released  stock  compensation",
      ].join("\n"),
    );
  });

  test("needs no correlation id: the first event's own is the flow's", async () => {
    const town = new Town();
    await town.service("stock", reserves(town));
    await town.service("payments", declines(town));
    await town.happens("orders.placed", { ce_id: "e-1" });
    await town.until(() => town.deeds.length === 3);
    expect(town.deeds).toEqual(["reserve e-1", "pay", "release r-e-1"]);
  });

  test("says that it could not be done, and publishes nothing else then; nothing is undone", async () => {
    const town = new Town();
    await town.service("stock", reserves(town));
    const tracker = await town.tracker(["orders", "stock", "payments"]);
    await town.happens("orders.placed", { "correlation-id": "f" }, { fails: true });
    await town.until(async () => (await tracker.get("f")).length === 2);
    await town.happens("payments.declined", { "correlation-id": "f" });
    await town.settle();
    expect((await tracker.get("f")).map(({ type, role }) => [type, role])).toEqual(
      expect.arrayContaining([
        ["orders.placed", null],
        ["stock.refused", "failure"],
        ["payments.declined", null],
      ]),
    );
    expect(town.deeds).toEqual(["reserve f"]);
  });

  test("undoes a flow although another one's name begins as an undo's note once did", async () => {
    const town = new Town();
    await town.service("stock", reserves(town));
    await town.happens("orders.placed", { "correlation-id": "undo/1" });
    await town.happens("orders.placed", { "correlation-id": "1" });
    await town.happens("payments.declined", { "correlation-id": "1" });
    await town.until(() => town.deeds.includes("release r-1"));
  });

  test("does and undoes once in a flow, whatever comes again, also as another event", async () => {
    const town = new Town();
    const stock = await town.service("stock", reserves(town));
    for (const id of ["e1", "e1", "e2"])
      await town.happens("orders.placed", { ce_id: id, "correlation-id": "f" });
    await town.until(() => stock.counts.processed === 2);
    for (const id of ["e3", "e4"])
      await town.happens("payments.declined", { ce_id: id, "correlation-id": "f" });
    await town.happens("orders.placed", { ce_id: "e5", "correlation-id": "f" });
    await town.until(() => stock.counts.processed === 5);
    expect(town.deeds).toEqual(["reserve f", "release r-f"]);
    expect(stock.counts).toMatchObject({ duplicates: 1, dead: 0 });
  });

  test("remembers an undo that came first, and does not do what it would undo", async () => {
    const town = new Town();
    const stock = await town.service("stock", reserves(town));
    await town.happens("payments.declined", { "correlation-id": "f" });
    await town.until(() => stock.counts.processed === 1);
    await town.happens("orders.placed", { "correlation-id": "f" });
    await town.happens("orders.placed", { "correlation-id": "g" });
    await town.until(() => stock.counts.processed === 3);
    expect(town.deeds).toEqual(["reserve g"]);
  });

  test("does and undoes what comes in one batch", async () => {
    const town = new Town();
    await town.broker.start();
    await town.happens("orders.placed", { "correlation-id": "f" });
    await town.happens("payments.declined", { "correlation-id": "f" });
    const stock = await town.service("stock", reserves(town));
    await town.until(() => stock.counts.processed === 2);
    await town.settle();
    expect([["reserve f", "release r-f"], []]).toContainEqual(town.deeds);
  });

  test("tries again what failed in another way, and gives it up to the dead letters", async () => {
    const town = new Town();
    let tries = 0;
    const broken = reserves(town, {
      do: () => {
        tries += 1;
        throw new Error("no connection");
      },
    });
    const stock = await town.service("stock", broken, { attemptsMax: 3 });
    await town.happens("orders.placed", { "correlation-id": "f" });
    await town.until(() => stock.counts.dead === 1);
    expect(tries).toBe(3);
  });

  test("gives up what cannot be done when nobody is to be told of it", async () => {
    const town = new Town();
    const silent = reserves(town);
    const { failed: _, ...reserve } = silent["reserve"] as Reaction;
    const stock = await town.service("stock", { reserve }, { attemptsMax: 1 });
    await town.happens("orders.placed", { "correlation-id": "f" }, { fails: true });
    await town.until(() => stock.counts.dead === 1);
    expect(await stock.health()).toEqual({ isUp: true });
  });

  test("takes each event with an empty correlation id for a flow of its own", async () => {
    const town = new Town();
    const stock = await town.service("stock", reserves(town));
    for (const id of ["1", "2"]) await town.happens("orders.placed", { ce_id: id, "correlation-id": "" });
    await town.until(() => stock.counts.processed === 2);
    expect(town.deeds).toEqual(["reserve 1", "reserve 2"]);
  });

  test("keeps flows with long ids apart", async () => {
    const town = new Town();
    const stock = await town.service("stock", reserves(town));
    const long = "x".repeat(300);
    for (const id of [`${long}1`, `${long}2`])
      await town.happens("orders.placed", { ce_id: id.slice(-9), "correlation-id": id });
    await town.until(() => stock.counts.processed === 2);
    expect(town.deeds).toEqual([`reserve ${long}1`, `reserve ${long}2`]);
  });

  const good: Reaction = { on: on("a.b"), do: () => {} };
  test.each<[string, Record<string, Reaction>, string]>([
    ["no reaction", {}, "name at least one"],
    ["a name that cannot be stored", { "a/b": good }, "1 to 100 characters"],
    ["an undo that nothing calls", { a: { ...good, undo: () => {} } }, "give both, or neither"],
    ["an event that undoes nothing", { a: { ...good, undoOn: [on("a.c")] } }, "give both, or neither"],
    [
      "an event that it is done and undone for",
      { a: { ...good, undo: () => {}, undoOn: [on("a.b")] } },
      "undone for",
    ],
  ])("refuses %s", (_, reactions, rule) => {
    const storage = new InMemoryStorage();
    const make = () =>
      new Choreography({ storage, broker: new InMemoryBroker(), consumerName: "c", reactions });
    expect(make).toThrow(rule);
    expect(make).toThrow(SagaError);
  });
});

describe("a flow tracker", () => {
  test("waits for a storage that is away, and knows what comes twice", async () => {
    const town = new Town();
    const storage = new InMemoryStorage({ clock: town.clock });
    const { record } = storage.flows;
    let outages = 3;
    storage.flows.record = async (events) => {
      if (outages-- > 0) throw new SagaError("SAGAZ_STORAGE_UNAVAILABLE", { message: "away" });
      return record(events);
    };
    const tracker = await town.tracker(["orders"], storage);
    await town.happens("orders.placed", { "correlation-id": "f" });
    await town.happens("orders.placed", { "correlation-id": "f" });
    await town.happens("orders.odd", { ce_id: "" });
    await town.until(async () => (await tracker.get("f")).length === 1);
    await town.settle();
    expect(await tracker.get("f")).toHaveLength(1);
    expect(await tracker.get("")).toEqual([]);
    await town.drive(tracker.stop());
    await expect(
      new FlowTracker({ storage, broker: town.broker, topics: ["a"] }).stop(),
    ).resolves.toBeUndefined();
    await expect(tracker.stop()).resolves.toBeUndefined();
  });

  test("passes over an event that the storage refuses, and keeps those beside it", async () => {
    const town = new Town();
    const storage = new InMemoryStorage({ clock: town.clock });
    const { record } = storage.flows;
    storage.flows.record = async (events) => {
      if (events.some(({ type }) => type === "orders.bad"))
        throw new SagaError("SAGAZ_STORAGE_REFUSED", { message: "too large for the index" });
      return record(events);
    };
    await town.broker.start();
    const toMessage = (type: string) => {
      const headers = { ce_id: type, ce_type: type, "correlation-id": "f" };
      return { topic: "orders", key: "k", headers, payload: "{}" };
    };
    await town.broker.publish(["orders.placed", "orders.bad", "orders.paid"].map(toMessage));
    const tracker = await town.tracker(["orders"], storage);
    await town.until(async () => (await tracker.get("f")).length === 2);
    expect((await tracker.get("f")).map(({ type }) => type)).toEqual(["orders.paid", "orders.placed"]);
  });

  test("refuses to watch nothing, and to start once it was stopped", async () => {
    const parts = { storage: new InMemoryStorage(), broker: new InMemoryBroker() };
    expect(() => new FlowTracker({ ...parts, topics: [] })).toThrow("at least one");
    const tracker = new FlowTracker({ ...parts, topics: ["a"] });
    await tracker.stop();
    await expect(tracker.start()).rejects.toThrow("SAGAZ_STOPPED");
  });
});
