import type { Chance } from "../ports/chance.ts";
import type { Clock } from "../ports/clock.ts";

const TIMER_MAX_MS = 2 ** 31 - 1;

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, call) {
    if (delayMs <= 0) {
      const immediate = setImmediate(call);
      return { cancel: () => clearImmediate(immediate) };
    }
    const timer = setTimeout(call, Math.min(delayMs, TIMER_MAX_MS));
    return { cancel: () => clearTimeout(timer) };
  },
};

/** The clock of this machine, whose timers do not keep the process alive. */
export const unobtrusiveClock: Clock = {
  ...systemClock,
  setTimer(delayMs, call) {
    if (delayMs <= 0) return systemClock.setTimer(0, call);
    const timer = setTimeout(call, Math.min(delayMs, TIMER_MAX_MS)).unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Random bytes are drawn in blocks of this size: a call for each id costs more than all the rest of it. */
const BLOCK_BYTES = 4_096;
const block = new Uint8Array(BLOCK_BYTES);
let used = BLOCK_BYTES;

/** Chance from the machine's generator: `fillBytes` is fit for ids, `next` for jitter. */
export const systemChance: Chance = {
  next: () => Math.random(),
  fillBytes(bytes) {
    if (bytes.length > BLOCK_BYTES - used) {
      crypto.getRandomValues(block);
      used = 0;
    }
    bytes.set(block.subarray(used, used + bytes.length));
    used += bytes.length;
  },
};

const HEX = Buffer.from("0123456789abcdef");

/** Used and left within one call: making a buffer costs more than filling it. */
const idBytes = new Uint8Array(16);
const idText = Buffer.alloc(36, "-");

/**
 * A UUIDv7 (RFC 9562, section 5.7): 48 bits of time in milliseconds, then 74 random bits. A saga's id tells when it
 * was created, so that a look-up by id alone finds the right partition.
 */
export function newId(atMs: number, chance: Chance): string {
  const bytes = idBytes;
  chance.fillBytes(bytes);
  let rest = atMs;
  for (let i = 5; i >= 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return toText(bytes);
}

/** The usual notation of an id. */
function toText(bytes: Uint8Array): string {
  let at = 0;
  for (let i = 0; i < 16; i++) {
    const byte = bytes[i] ?? 0;
    if (i === 4 || i === 6 || i === 8 || i === 10) at++; // the dash
    idText[at++] = HEX[byte >> 4] ?? 0;
    idText[at++] = HEX[byte & 0x0f] ?? 0;
  }
  return idText.toString("latin1");
}
