import { expect, test } from "vitest";
import { toSagaError } from "./errors.ts";

/** What the server has said, as the driver marks it. */
const answer = (message: string) => Object.assign(new Error(message), { name: "ReplyError" });

test("what was said to a connection refuses no call that was never sent", () => {
  const said = answer("ERR max number of clients reached");
  expect(toSagaError(said, { writes: true, wasSent: false }).code).toBe("SAGAZ_STORAGE_UNAVAILABLE");
  expect(toSagaError(said, { writes: true, wasSent: true }).code).toBe("SAGAZ_STORAGE_REFUSED");
  const replica = answer("READONLY You can't write against a read only replica.");
  expect(toSagaError(replica, { writes: true, wasSent: false }).code).toBe("SAGAZ_STORAGE_READ_ONLY");
});

test("a script that somebody has killed can be called again", () => {
  const killed = answer("ERR Script killed by user with SCRIPT KILL... script: 9fb2, on @user_script:2.");
  expect(toSagaError(killed, { writes: true, wasSent: true }).code).toBe("SAGAZ_STORAGE_UNAVAILABLE");
});
