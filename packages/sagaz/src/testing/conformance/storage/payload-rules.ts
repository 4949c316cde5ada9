import { deepEqual, equal } from "node:assert/strict";
import {
  absent,
  append,
  begin,
  event,
  register,
  rowOf,
  throws,
  toEntry,
  toMail,
  toRow,
  toStart,
  toStartEntry,
  typesOf,
} from "./material.ts";
import { rule } from "./storage-rule.ts";
import type { StorageRule } from "./storage-rule.ts";

/** JSON texts that a careless storage would change on the way. */
const AWKWARD = [
  '{"b":1,  "a" : 2,"b":3}',
  "12345678901234567890.000",
  '"\\u0000 in the middle\\u0000"',
  '"\\ud800 alone"',
  '"😀 Grüße, 東京 \u2028 \u2029 \u200f"',
  `"\\\\'; drop table x; -- \\" $1 $$ {},NULL"`,
  '{"__proto__":{"x":1},"toString":null}',
  "null",
  '""',
  " [1e308,-0] ",
];

/** Payloads cross as text, and come back byte for byte. */
export const payloadRules: readonly StorageRule[] = [
  rule("payloads: event data, output and mail come back byte for byte", async (t) => {
    const epoch = await register(t.storage);
    for (const text of AWKWARD) {
      const start = toStart(t, { started: event("saga_started", text) });
      await begin(t, epoch, { start, row: toRow({ output: text }) });
      const { sagaId } = start;
      await append(
        { storage: t.storage, epoch },
        toEntry(sagaId, 2, { events: [event("step_done", text, "reserve")] }),
      );
      await t.storage.mailbox.send(toMail(sagaId, { body: text }));
      const journal = await t.storage.queries.journal(sagaId);
      deepEqual(
        journal.map(({ data }) => data),
        [text, text],
      );
      equal((await rowOf(t.storage, sagaId)).output, text);
      const mail = await t.storage.mailbox.fetch(epoch, 100);
      equal(mail.find((one) => one.sagaId === sagaId)?.body, text);
    }
  }),

  rule("payloads: names, ids of others, errors and attributes come back as they are", async (t) => {
    const epoch = await register(t.storage);
    const text = `O'Brien \\ "😀" {},NULL\n\t$1`;
    const start = toStart(t, {
      tenantId: text,
      correlationId: text,
      attributes: JSON.stringify({ [text]: text, "": "" }),
    });
    await begin(t, epoch, { start, row: toRow({ error: text }) });
    const row = await rowOf(t.storage, start.sagaId);
    deepEqual([row.tenantId, row.correlationId, row.error], [text, text, text]);
    deepEqual({ ...row.attributes }, { [text]: text, "": "" });
    const plain = await rowOf(t.storage, await begin(t, epoch));
    deepEqual(
      [plain.tenantId, plain.correlationId, plain.error, plain.attributes, plain.parentId],
      [null, null, null, null, null],
    );
    const empty = await rowOf(
      t.storage,
      await begin(t, epoch, { start: toStart(t, { correlationId: "", attributes: "{}" }) }),
    );
    deepEqual([empty.correlationId, { ...empty.attributes }], ["", {}]);
  }),

  rule("payloads: a text that cannot be stored is refused with its batch", async (t) => {
    const epoch = await register(t.storage);
    const known = await begin(t, epoch);
    const nul = "a\u0000b";
    const starts = [
      toStart(t, { correlationId: nul }),
      toStart(t, { attributes: JSON.stringify({ region: nul }) }),
      toStart(t, { started: event("saga_started", `"${nul}"`) }),
    ];
    for (const start of starts) {
      await throws("SAGAZ_STORAGE_REFUSED", () =>
        append({ storage: t.storage, epoch }, toEntry(known, 2), toStartEntry(start)),
      );
      await absent(t.storage, start.sagaId);
    }
    const entries = [
      toEntry(known, 2, { events: [event("step_done", "{}", nul)] }),
      toEntry(known, 2, { row: toRow({ error: nul }) }),
      toEntry(known, 2, { row: toRow({ output: `"${nul}"` }) }),
      toEntry(known, 2, { mails: [toMail(known, { body: `"${nul}"` })] }),
    ];
    for (const entry of entries)
      await throws("SAGAZ_STORAGE_REFUSED", () => append({ storage: t.storage, epoch }, entry));
    await throws("SAGAZ_STORAGE_REFUSED", () => t.storage.mailbox.send(toMail(known, { kind: nul })));
    deepEqual(await typesOf(t.storage, known), ["saga_started"]);
    deepEqual(await t.storage.mailbox.fetch(epoch, 10), []);
  }),

  rule("payloads: several of a megabyte fit into one batch", async (t) => {
    const epoch = await register(t.storage);
    const sagaId = await begin(t, epoch);
    const data = JSON.stringify({ result: "x€".repeat(500_000) });
    const events = [1, 2, 3].map((n) => event("step_done", data, `step-${n}`));
    await append({ storage: t.storage, epoch }, toEntry(sagaId, 2, { events, row: toRow({ output: data }) }));
    const journal = await t.storage.queries.journal(sagaId, { from: 2 });
    equal(journal.length, 3);
    for (const entry of journal) equal(entry.data === data, true, "a megabyte came back changed");
    equal((await rowOf(t.storage, sagaId)).output === data, true);
  }),
];
