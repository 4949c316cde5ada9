import { inject, test } from "vitest";

// The engine's tests once more, on a real Redis: the stage opens one because this tier provides it.
const server = inject("redis");

if ("missing" in server) test("the engine on Redis", ({ skip }) => skip(server.missing));
else {
  await import("./forward.test.ts");
  await import("./undoing.test.ts");
  await import("./pivot.test.ts");
  await import("./waiting.test.ts");
  await import("./operating.test.ts");
  await import("./starting.test.ts");
  await import("./ownership.test.ts");
  await import("./bad-input.test.ts");
  await import("./rebuild.test.ts");
  await import("./attempt.test.ts");
  await import("./refused-writes.test.ts");
  await import("./stuck.test.ts");
  await import("./elsewhere.test.ts");
  await import("./upkeep.test.ts");
  await import("./room.test.ts");
  await import("./mail-room.test.ts");
  await import("./roll-call.test.ts");
  await import("./publishing.test.ts");
}
