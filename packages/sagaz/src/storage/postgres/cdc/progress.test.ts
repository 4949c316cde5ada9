import fc from "fast-check";
import { expect, test } from "vitest";
import { toLsn } from "./lsn.ts";
import { Progress } from "./progress.ts";

test("places are read as PostgreSQL writes them", () => {
  expect(toLsn("0/0")).toBe(0n);
  expect(toLsn("16/B374D848")).toBe(0x16b374d848n);
  expect(toLsn("FFFFFFFF/FFFFFFFF")).toBe(2n ** 64n - 1n);
  for (const wrong of ["", "1", "1/", "G/1", "1/123456789"]) expect(() => toLsn(wrong)).toThrow("two halves");
});

test("a transaction is done with when all of it has come and is settled, and all before it is", () => {
  const progress = new Progress(0n);
  progress.begin();
  progress.add();
  progress.add();
  progress.settle(2);
  expect(progress.lsn).toBe(0n); // more of it may come
  progress.add();
  progress.end(100n);
  expect(progress.lsn).toBe(0n);
  progress.begin();
  progress.end(200n); // nothing of ours in it
  progress.pass(250n); // something is still open
  expect(progress.lsn).toBe(0n);
  progress.settle(3);
  expect(progress.lsn).toBe(200n);
  progress.pass(150n);
  expect(progress.lsn).toBe(200n);
  progress.pass(300n);
  expect(progress.lsn).toBe(300n);
});

test("whatever comes and is settled in whatever turns, nothing that is not settled is passed", () => {
  const sizes = fc.array(fc.nat(5), { maxLength: 30 });
  fc.assert(
    fc.property(sizes, fc.array(fc.nat(6), { maxLength: 60 }), (transactions, settles) => {
      const progress = new Progress(0n);
      const ends: { last: number; lsn: bigint }[] = [];
      let settled = 0;
      let given = 0;
      const settleSome = () => {
        settled = Math.min(given, settled + (settles.pop() ?? 0));
        progress.settle(settled);
        const through = ends.findIndex(({ last }) => last > settled);
        const done = through === -1 ? ends.at(-1) : ends[through - 1];
        expect(progress.lsn).toBe(done?.lsn ?? 0n);
      };
      for (const [n, size] of transactions.entries()) {
        progress.begin();
        for (let i = 0; i < size; i++) {
          given = progress.add();
          settleSome();
        }
        const lsn = BigInt(n + 1) * 10n;
        progress.end(lsn);
        ends.push({ last: given, lsn });
        settleSome();
      }
    }),
  );
});
