import type { Sagaish } from "../core/definition/sagaish.ts";

/**
 * Any saga at all, for lists of them. Input stands on both sides of a definition (its schema yields it, its output
 * function takes it), so no type but `any` fits every saga.
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type AnySaga = Sagaish<any, any>;
