import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { findFreePort } from "./free-port.ts";

test("gives the preferred port while it is free, else another one below the client ports, else says so", async () => {
  const squatter = createServer();
  const port = await findFreePort();
  expect(port).toBeGreaterThanOrEqual(10_240);
  expect(port).toBeLessThan(32_768);
  expect(await findFreePort(port)).toBe(port);
  await new Promise<void>((resolve) => squatter.listen(port, "127.0.0.1", resolve));
  expect((squatter.address() as AddressInfo).port).toBe(port);
  expect(await findFreePort(port)).not.toBe(port);
  await expect(findFreePort(port, { min: port, max: port })).rejects.toThrow(/no free port of 127.0.0.1/);
  await new Promise((resolve) => squatter.close(resolve));
});
