import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { OwnPool } from "./own-pool.ts";

test("what takes connections and answers nothing is given up, and keeps nobody from ending the pool", async () => {
  const sockets: Socket[] = [];
  const mute = createServer((socket) => void sockets.push(socket));
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    mute.close();
  });
  const { port } = mute.address() as AddressInfo;
  const pool = new OwnPool(async () => `postgres://user@127.0.0.1:${port}/db`, 50);
  const opening = pool.connect();
  await Promise.all([expect(opening).rejects.toThrow("timeout"), pool.end()]);
});
