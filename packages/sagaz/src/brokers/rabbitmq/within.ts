/** How long to wait, and for what. */
export interface Patience {
  readonly ms: number;
  /** What is said when it was in vain: "no connection". */
  readonly else: string;
  /** Done when it was in vain. */
  readonly onLate?: () => void;
}

/**
 * Waits for something, but not for ever.
 *
 * @throws Error with `else` when it takes too long.
 */
export async function within<T>(patience: Patience, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      patience.onLate?.();
      reject(new Error(`${patience.else} within ${patience.ms} ms`));
    }, patience.ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
