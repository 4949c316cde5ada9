/** Functions that another process can call: what they take and return crosses as JSON. */
export type Callable<Calls> = { readonly [K in keyof Calls]: (...args: never[]) => Promise<unknown> };

/** A call on its way into the process. */
export interface Request {
  readonly id: number;
  readonly call: string;
  readonly args: readonly unknown[];
}

/** Its answer. */
export type Response =
  { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

/** Answers the calls of the process that started this one, and ends when that one has gone. */
export function answerCalls<Calls extends Callable<Calls>>(calls: Calls): void {
  process.on("message", (request: Request) => {
    void answer(calls, request).then((response) => process.send?.(response));
  });
  // The bench has gone, in whatever way: so do we.
  process.on("disconnect", () => process.exit(0));
}

async function answer<Calls extends Callable<Calls>>(
  calls: Calls,
  { id, call, args }: Request,
): Promise<Response> {
  try {
    const asked: (...args: never[]) => Promise<unknown> = calls[call as keyof Calls];
    const value = await asked(...(args as never[]));
    return { id, value };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
