const symbols = Symbol as { metadata?: symbol };

/**
 * `Symbol.metadata`, where decorators keep what they declare, given to Node 20 to 24, which lack it.
 *
 * It must be there before a decorated class is evaluated. So `declared.ts` depends on this module, and `package.json`
 * lists it among the `sideEffects`, lest a bundler drops it.
 */
export const metadataKey: symbol = (symbols.metadata ??= Symbol.for("Symbol.metadata"));
