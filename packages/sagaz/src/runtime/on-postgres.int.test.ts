// The engine's tests once more, on a real PostgreSQL: the stage opens one because this tier provides it.
import "./forward.test.ts";
import "./undoing.test.ts";
import "./pivot.test.ts";
import "./waiting.test.ts";
import "./operating.test.ts";
import "./starting.test.ts";
import "./ownership.test.ts";
import "./bad-input.test.ts";
import "./rebuild.test.ts";
import "./attempt.test.ts";
import "./refused-writes.test.ts";
import "./mail-room.test.ts";
import "./roll-call.test.ts";
