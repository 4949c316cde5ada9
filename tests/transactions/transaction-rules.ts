import { deepEqual, equal, match, notEqual, ok, rejects } from "node:assert/strict";
import { isSagaError, SagaError } from "../../packages/sagaz/src/core/errors.ts";
import { orderSaga, type LibraryUnderTest, type OpenTransaction, type Order, type Shop } from "./shop.ts";

/** One sentence of what every adapter keeps, with the check that it is kept. */
export interface TransactionRule {
  readonly name: string;
  check(shop: Shop, library: LibraryUnderTest): Promise<void>;
}

/** Whatever some library, driver or server could take for something else. */
const ODD = "Grüße 你好 😀 ' '' \" \\ \\\\ \\' ? ?? \\? $1 $2 :id :id: ::text {0} %s --x /* */ E'\\n' null";
const ODD_LINES = `${ODD}\n\r\n\t\u0000\u2028${ODD}`;

const placed = (order: Order, payload: unknown = order) => ({
  topic: "orders",
  type: "order.placed",
  key: order.id,
  aggregateId: order.id,
  payload,
});

/** Runs work in a transaction and throws in the end, so that the library rolls back. Answers what the work answered. */
async function rolledBack<T>(
  library: LibraryUnderTest,
  work: (t: OpenTransaction) => Promise<T>,
): Promise<T> {
  const trouble = new Error("no stock");
  const answers: T[] = [];
  await rejects(
    library.transaction(async (t) => {
      answers.push(await work(t));
      throw trouble;
    }),
    (error) => error === trouble,
  );
  const [answer] = answers;
  equal(answers.length, 1);
  return answer as T;
}

async function isAbsent(shop: Shop, order: Order): Promise<void> {
  equal(await shop.writerOf(order), undefined);
  deepEqual(await shop.eventsOf(order), []);
}

/** What was thrown; nothing thrown is a failure. */
function thrown(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error("nothing was thrown");
    },
    (error: unknown) => error,
  );
}

/** What every adapter keeps, whatever the library. */
export const transactionRules: readonly TransactionRule[] = [
  {
    name: "a row of the user's and its event are written by one transaction",
    async check(shop, library) {
      const order = shop.newOrder();
      await library.transaction(async ({ tx, place }) => {
        await place(order);
        await shop.outbox.add(tx, placed(order));
      });
      const writer = await shop.writerOf(order);
      const events = await shop.eventsOf(order);
      ok(writer);
      deepEqual(
        events.map((event) => [event.writer, event.pendingWriter]),
        [[writer, writer]],
      );
      deepEqual(JSON.parse(events[0]?.payload ?? ""), order);
    },
  },
  {
    name: "the event may come before the row",
    async check(shop, library) {
      const order = shop.newOrder();
      await library.transaction(async ({ tx, place }) => {
        await shop.outbox.add(tx, placed(order));
        await place(order);
      });
      const writer = await shop.writerOf(order);
      deepEqual(
        (await shop.eventsOf(order)).map((event) => [event.writer, event.pendingWriter]),
        [[writer, writer]],
      );
    },
  },
  {
    name: "a transaction that throws leaves neither row nor event",
    async check(shop, library) {
      const order = shop.newOrder();
      await rolledBack(library, async ({ tx, place }) => {
        await place(order);
        await shop.outbox.add(tx, placed(order));
      });
      await isAbsent(shop, order);
    },
  },
  {
    name: "events keep their order, and every character of key, header and payload",
    async check(shop, library) {
      const order = shop.newOrder();
      const payloads = [ODD_LINES, { [ODD_LINES]: [ODD_LINES, 1.5, null, true] }, "", 0, null, { n: 6 }];
      await library.transaction(({ tx }) =>
        shop.outbox.add(tx, [
          ...payloads.map((payload) => ({ ...placed(order, payload), key: ODD, headers: { odd: ODD } })),
          placed(order, Uint8Array.of(0, 39, 63, 92, 255)),
        ]),
      );
      const events = await shop.eventsOf(order);
      const bytes = events.pop();
      deepEqual(
        events.map(({ payload }) => JSON.parse(payload ?? "") as unknown),
        payloads,
      );
      for (const { key, headers } of events) {
        equal(key, ODD);
        deepEqual(JSON.parse(headers ?? ""), { odd: ODD });
      }
      equal(bytes?.payload, null);
      deepEqual([...(bytes?.bytes ?? [])], [0, 39, 63, 92, 255]);
    },
  },
  {
    name: "more events than one statement takes",
    async check(shop, library) {
      const order = shop.newOrder();
      const numbers = Array.from({ length: 1_001 }, (_, n) => n);
      await library.transaction(({ tx }) =>
        shop.outbox.add(
          tx,
          numbers.map((n) => placed(order, n)),
        ),
      );
      const events = await shop.eventsOf(order);
      deepEqual(
        events.map(({ payload }) => Number(payload)),
        numbers,
      );
      equal(new Set(events.flatMap(({ writer, pendingWriter }) => [writer, pendingWriter])).size, 1);
    },
  },
  {
    name: "placeholders may come twice and in any order, and a question mark is none",
    check: (_, library) =>
      library.transaction(async ({ tx }) => {
        const sql =
          "select $2::text as b, $1::text as a, $1::text as again, $3::int as n, $4::int as m, '?' as mark";
        deepEqual(
          (await tx(sql, ["x", ODD, null, 7])).map((row) => ({ ...row })),
          [{ b: ODD, a: "x", again: "x", n: null, m: 7, mark: "?" }],
        );
      }),
  },
  {
    name: "rows come back from every statement that returns some, and none from others",
    check: (_, library) =>
      library.transaction(async ({ tx }) => {
        const rows = async (sql: string, params?: readonly unknown[]) =>
          (await tx(sql, params)).map((row) => ({ ...row }));
        deepEqual(await rows("create temporary table things (n int) on commit drop"), []);
        deepEqual(await rows("insert into things values ($1::int), ($2::int)", [1, "2"]), []);
        deepEqual(await rows("with x as (select 3 as n) insert into things select n from x"), []);
        deepEqual(await rows("insert into things values (4) returning n"), [{ n: 4 }]);
        deepEqual(await rows("update things set n = 5 where n = $1::int", [1]), []);
        deepEqual(await rows("update things set n = 1 where n = 5 returning n, 'x' as x"), [
          { n: 1, x: "x" },
        ]);
        deepEqual(await rows("delete from things where n = $1::int returning n", [4]), [{ n: 4 }]);
        deepEqual(await rows("delete from things where n = 3"), []);
        deepEqual(await rows("select n from things order by n"), [{ n: 1 }, { n: 2 }]);
        deepEqual(await rows("select n from things where n = 9"), []);
      }),
  },
  {
    name: "what the server cannot do now is an error that can be tried again, in the server's words",
    async check(shop, library) {
      const order = shop.newOrder();
      const error = await rolledBack(library, async ({ tx }) => {
        await tx("set transaction read only");
        return thrown(shop.outbox.add(tx, placed(order)));
      });
      ok(isSagaError(error, "SAGAZ_STORAGE_READ_ONLY"), String(error));
      equal(error.details["message"], "cannot execute INSERT in a read-only transaction");
      await isAbsent(shop, order);
    },
  },
  {
    name: "what the server refuses for good is an error that says so, in the server's words, and what to do",
    async check(shop, library) {
      const order = shop.newOrder();
      const error = await rolledBack(library, async ({ tx, place }) => {
        await place(order);
        return thrown(shop.outboxNowhere().add(tx, placed(order)));
      });
      ok(isSagaError(error, "SAGAZ_STORAGE_REFUSED"), String(error));
      match(String(error.details["message"]), /^schema "nowhere" does not exist\. [A-Z]/); // and what to do
      await isAbsent(shop, order);
    },
  },
  {
    name: "an error that a function of ours raises comes with its code and its details",
    async check(_, library) {
      const raise = `begin raise exception 'it changed' using errcode = 'SZ003', detail = '{"saga":"order"}'; end`;
      const error = await rolledBack(library, ({ tx }) => thrown(tx(`do $x$ ${raise} $x$`)));
      ok(error instanceof Error && !(error instanceof SagaError));
      const { code, severity, detail, message } = error as Error & Record<string, unknown>;
      deepEqual({ code, severity, detail }, { code: "SZ003", severity: "ERROR", detail: '{"saga":"order"}' });
      match(message, /^it changed/); // MikroORM adds the details
    },
  },
  {
    name: "a saga exists if and only if the transaction that starts it commits",
    async check(shop, library) {
      const { sagas } = shop.orchestrator;
      const [order, other] = [shop.newOrder(ODD_LINES), shop.newOrder()];
      const lost = await rolledBack(library, async ({ tx, place }) => {
        await place(other);
        return (await sagas.start(orderSaga, other, { tx })).id;
      });
      equal(await sagas.find(lost), undefined);
      const ids: string[] = [];
      for (const _ of ["first", "repeated"])
        await library.transaction(async ({ tx }) => {
          ids.push((await sagas.start(orderSaga, order, { tx, idempotencyKey: order.id })).id);
        });
      const [id = "", repeated] = ids;
      equal(repeated, id);
      notEqual(id, lost);
      const { status, output } = await sagas.result(id);
      deepEqual({ status, output }, { status: "completed", output: { confirm: ODD_LINES } });
    },
  },
  {
    name: "a message is noted as processed if and only if the transaction commits",
    async check(shop, library) {
      const order = shop.newOrder(ODD);
      const message = { eventId: order.id, sourceTopic: "orders", eventType: "order.placed", payload: order };
      const process = ({ tx, place }: OpenTransaction) =>
        shop.inbox.processIdempotent(
          message,
          async (payload) => {
            await place(payload);
            return payload.note;
          },
          { tx },
        );
      await rolledBack(library, process);
      equal(await shop.writerOf(order), undefined);
      const answers: unknown[] = [];
      for (const _ of ["first", "repeated"])
        await library.transaction(async (t) => void answers.push(await process(t)));
      deepEqual(answers, [
        { isDuplicate: false, result: ODD },
        { isDuplicate: true, result: ODD },
      ]);
    },
  },
  {
    name: "what is no open transaction is refused, and nothing is written",
    async check(shop, library) {
      const turns = Object.entries(library.wrongTurns);
      ok(turns.length > 0);
      for (const [name, open] of turns) {
        const order = shop.newOrder();
        const error = await thrown(open().then((tx) => shop.outbox.add(tx, placed(order))));
        ok(isSagaError(error, "SAGAZ_NOT_A_TRANSACTION"), `${name}: ${String(error)}`);
        await isAbsent(shop, order);
      }
    },
  },
];
