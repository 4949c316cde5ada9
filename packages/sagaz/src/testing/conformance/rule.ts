/**
 * One sentence of a contract, with the check that it is kept. Plain data: any test runner can loop over it.
 *
 * @example
 * for (const rule of storageRules) {
 *   const unmet = unmetNeeds(rule, provided);
 *   test.skipIf(unmet.length > 0)(toTitle(rule, unmet), () => rule.check(open));
 * }
 */
export interface Rule<UnderTest, Need extends string> {
  readonly name: string;
  /** What the adapter, or the handle that opens it, must be able to do for this rule to mean anything. */
  readonly needs: readonly Need[];
  /** Throws an `AssertionError` when the rule is broken. */
  check(open: () => Promise<UnderTest>): Promise<void>;
}

/** Lists what a rule needs and this adapter does not provide: the rule is then skipped, by name. */
export function unmetNeeds<Need extends string>(
  rule: { readonly needs: readonly Need[] },
  provided: readonly Need[],
): readonly Need[] {
  return rule.needs.filter((need) => !provided.includes(need));
}

/** The title of a rule's test; one that is skipped says why. */
export function toTitle(rule: { readonly name: string }, unmet: readonly string[]): string {
  return unmet.length === 0 ? rule.name : `${rule.name} (skipped: needs ${unmet.join(", ")})`;
}

/** Makes a rule of a body, which gets what is under test and need not close it. */
export function toRule<UnderTest extends { close(): Promise<void> }, Need extends string>({
  name,
  needs,
  body,
}: {
  readonly name: string;
  readonly needs: readonly Need[];
  readonly body: (t: UnderTest) => Promise<void>;
}): Rule<UnderTest, Need> {
  return {
    name,
    needs,
    async check(open) {
      const t = await open();
      try {
        await body(t);
      } finally {
        await t.close();
      }
    },
  };
}
