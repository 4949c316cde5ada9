import type { SagaDefinition } from "../core/definition/definition.ts";
import type { Claim } from "../ports/storage.ts";
import type { Registry } from "./registry.ts";

/** What of a saga decides whether there is room for it. */
export interface Kind {
  readonly name: string;
  readonly version: number;
  readonly tenantId?: string | null | undefined;
}

/** What a process may run at a time: in all, and of one tenant. */
export interface RoomLimits {
  readonly sagasInFlightMax: number;
  readonly sagasPerTenantMax: number | undefined;
}

/** So many places there are, and so many are taken. */
interface Places {
  taken: number;
  readonly max: number;
  /** Whose they are, when they are a tenant's. */
  readonly tenantId?: string;
}

/**
 * The places for sagas in this process: in all, of each definition with `inFlightMax`, and of each tenant. A saga takes
 * one of each kind that bounds it, from when its start is admitted or its claim arrives until it leaves memory.
 *
 * The limits bound what is admitted, not what must run: a saga that this process owns already is run without asking.
 * And a claim that is under way is not counted: a start that is admitted meanwhile may take the same place, and then
 * the limit is exceeded until one of the two is done. Counting it would turn starts away to the storage whenever this
 * process happens to look there; giving the claimed one back would let new starts overtake it for ever.
 */
export class Room {
  readonly #registry: Registry;
  readonly #perTenant: number | undefined;
  readonly #all: Places;
  readonly #definitions = new Map<SagaDefinition, Places>();
  readonly #tenants = new Map<string, Places>();
  readonly #guests = new Map<string, readonly Places[]>();
  readonly #onFreed: () => void;

  constructor(limits: RoomLimits, registry: Registry, onFreed: () => void) {
    this.#registry = registry;
    this.#perTenant = limits.sagasPerTenantMax;
    this.#all = { taken: 0, max: limits.sagasInFlightMax };
    for (const definition of registry) {
      const { inFlightMax: max } = definition;
      if (max !== undefined) this.#definitions.set(definition, { taken: 0, max });
    }
    this.#onFreed = onFreed;
  }

  /** True when one more of this kind fits. */
  fits(kind: Kind): boolean {
    for (const places of this.#placesFor(kind)) if (isFull(places)) return false;
    return true;
  }

  /** Takes the saga's places. Twice is once: a start under way and then its runner are one saga. */
  enter(sagaId: string, kind: Kind): void {
    if (this.#guests.has(sagaId)) return;
    const guest = this.#placesFor(kind);
    for (const places of guest) {
      places.taken++;
      if (places.tenantId !== undefined) this.#tenants.set(places.tenantId, places);
    }
    this.#guests.set(sagaId, guest);
  }

  /** Gives them back. Where they were the last ones, what waits in the storage may come now. */
  leave(sagaId: string): void {
    const guest = this.#guests.get(sagaId) ?? [];
    this.#guests.delete(sagaId);
    const wasFull = guest.some(isFull);
    for (const places of guest) {
      places.taken--;
      if (places.tenantId !== undefined && places.taken === 0) this.#tenants.delete(places.tenantId);
    }
    if (wasFull) this.#onFreed();
  }

  /** What a claim may take now: definitions that are full are left out. */
  wanted(): Pick<Claim, "limit" | "definitions" | "tenants"> {
    const limit = Math.max(0, left(this.#all));
    const definitions = [...this.#registry].flatMap((definition) => {
      const { name: sagaName, version } = definition;
      const places = this.#definitions.get(definition);
      if (!places) return [{ sagaName, version }];
      return isFull(places) ? [] : [{ sagaName, version, room: left(places) }];
    });
    const each = this.#perTenant;
    if (each === undefined) return { limit, definitions };
    const leftOf = [...this.#tenants].map(([id, places]) => [id, Math.max(0, left(places))] as const);
    return { limit, definitions, tenants: { each, left: new Map(leftOf) } };
  }

  #placesFor({ name, version, tenantId }: Kind): Places[] {
    const held = this.#registry.find(name, version);
    const ofDefinition = held && this.#definitions.get(held);
    const ofTenant = this.#placesOf(tenantId);
    const places = [this.#all];
    if (ofDefinition) places.push(ofDefinition);
    if (ofTenant) places.push(ofTenant);
    return places;
  }

  #placesOf(tenantId: Kind["tenantId"]): Places | undefined {
    const max = this.#perTenant;
    if (max === undefined || typeof tenantId !== "string") return undefined;
    return this.#tenants.get(tenantId) ?? { taken: 0, max, tenantId };
  }
}

function isFull({ taken, max }: Places): boolean {
  return taken >= max;
}

function left({ taken, max }: Places): number {
  return max - taken;
}
