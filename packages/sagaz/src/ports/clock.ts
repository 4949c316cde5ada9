/** Time as an argument. Production passes the system's; tests a fake one. */
export interface Clock {
  /** Milliseconds since 1970 by this machine; may jump. */
  now(): number;
  /** Milliseconds from an arbitrary origin; never goes back. Leases are measured with it. */
  monotonic(): number;
  /** Calls once after the delay. */
  setTimer(delayMs: number, call: () => void): Timer;
}

/** A timer that has not fired yet. */
export interface Timer {
  cancel(): void;
}
