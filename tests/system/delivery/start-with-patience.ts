import { waitUntil } from "../../../tools/servers/wait-until.ts";

/** Starts it, if need be when the outage is over that it was born into. */
export async function startWithPatience(worker: { start(): Promise<void> }): Promise<void> {
  const hasStarted = () =>
    worker.start().then(
      () => true,
      () => false,
    );
  await waitUntil("it has started", hasStarted, { withinMs: 60_000, everyMs: 50 });
}
