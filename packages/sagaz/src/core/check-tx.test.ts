import { expect, test } from "vitest";
import { checkTx } from "./check-tx.ts";

test("what is no transaction is refused by its code, whatever it is", () => {
  for (const nothing of [undefined, null])
    expect(() => checkTx("Outbox.add", nothing)).toThrow(
      expect.objectContaining({
        code: "SAGAZ_NOT_A_TRANSACTION",
        details: expect.objectContaining({ adapter: "Outbox.add", value: "no transaction" }) as unknown,
      }) as Error,
    );
  expect(() => checkTx("Outbox.add", { query: () => {} })).toThrow("something that is no transaction");
  expect(() => checkTx("Outbox.add", async () => [])).not.toThrow();
});
