import { expect, test } from "vitest";
import { createBroker } from "./create.ts";

test("a URL names its broker", async () => {
  expect((await createBroker("memory:")).name).toBe("memory");
  expect((await createBroker("MEMORY:")).name).toBe("memory");
});

test("a URL of no broker is refused without being shown", async () => {
  for (const url of ["carrier-pigeon://user:secret@loft", "secret", "toString:secret"]) {
    const error = await createBroker(url).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "SAGAZ_UNKNOWN_BROKER" });
    expect(String(error)).not.toContain("secret");
    expect(String(error)).toContain("memory:");
  }
});
