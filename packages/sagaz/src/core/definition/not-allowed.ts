declare const reason: unique symbol;

/** The type of what must not be there: nothing fits it, and the compiler's message shows the reason. */
export interface NotAllowed<Reason extends string> {
  readonly [reason]: Reason;
}
