import type { Claim } from "../../ports/storage.ts";
import type { DefinitionRecord, SagaRecord } from "./records.ts";

/** What a claim may still take, in all, of each definition and of each tenant. */
export class ClaimRoom {
  #limit: number;
  readonly #definitions: Map<DefinitionRecord, number>;
  readonly #tenants: Claim["tenants"];
  readonly #left: Map<string, number>;

  constructor(
    { limit, tenants }: Pick<Claim, "limit" | "tenants">,
    definitions: Iterable<readonly [DefinitionRecord, number | undefined]>,
  ) {
    this.#limit = limit;
    this.#definitions = new Map([...definitions].map(([record, room]) => [record, room ?? limit]));
    this.#tenants = tenants;
    this.#left = new Map(tenants?.left);
  }

  /** Definitions with room. */
  *open(): Iterable<DefinitionRecord> {
    if (this.#limit > 0) for (const [record, left] of this.#definitions) if (left > 0) yield record;
  }

  isFull(tenantId: string | null): boolean {
    return this.#leftOf(tenantId) <= 0;
  }

  take({ definition, tenantId }: SagaRecord): void {
    this.#limit--;
    this.#definitions.set(definition, (this.#definitions.get(definition) ?? 0) - 1);
    if (tenantId !== null) this.#left.set(tenantId, this.#leftOf(tenantId) - 1);
  }

  #leftOf(tenantId: string | null): number {
    if (tenantId === null || !this.#tenants) return Number.POSITIVE_INFINITY;
    return this.#left.get(tenantId) ?? this.#tenants.each;
  }
}
