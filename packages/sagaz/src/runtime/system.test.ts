import { expect, test } from "vitest";
import { newId, systemChance } from "./system.ts";

test("an id tells its time and its version, and all else of it is chance", () => {
  const same = (byte: number) => ({ next: () => 0, fillBytes: (bytes: Uint8Array) => void bytes.fill(byte) });
  expect(newId(0x0123_4567_89ab, same(0xff))).toBe("01234567-89ab-7fff-bfff-ffffffffffff");
  expect(newId(0xf, same(0x00))).toBe("00000000-000f-7000-8000-000000000000");
  const counting = {
    next: () => 0,
    fillBytes: (bytes: Uint8Array) => bytes.forEach((_, n) => (bytes[n] = n * 17)),
  };
  expect(newId(0, counting)).toBe("00000000-0000-7677-8899-aabbccddeeff");
});

test("the machine's chance makes other ids each time, over the ends of its blocks too", () => {
  const ids = Array.from({ length: 1_000 }, () => newId(0, systemChance));
  expect(new Set(ids).size).toBe(1_000);
  for (const id of ids) expect(id).toMatch(/^0{8}-0{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
