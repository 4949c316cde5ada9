import type { SagaDefinition } from "../core/definition/definition.ts";
import { didYouMean } from "../core/definition/suggest.ts";
import { SagaError } from "../core/errors.ts";
import type { HeldDefinition } from "../ports/storage.ts";

/** The definitions that a process holds, by name and version. Children of held definitions are held too. */
export class Registry {
  readonly #byName = new Map<string, Map<number, SagaDefinition>>();

  constructor(definitions: Iterable<SagaDefinition>) {
    for (const definition of definitions) this.add(definition);
  }

  /**
   * @throws SagaError `SAGAZ_DUPLICATE_DEFINITION` when another graph is registered under this name and version.
   */
  add(definition: SagaDefinition): void {
    const { name, version } = definition;
    const versions = this.#byName.get(name) ?? new Map<number, SagaDefinition>();
    const known = versions.get(version);
    if (known && known.graphHash !== definition.graphHash) {
      throw new SagaError("SAGAZ_DUPLICATE_DEFINITION", { saga: name, version });
    }
    if (known) return;
    versions.set(version, definition);
    this.#byName.set(name, versions);
    for (const step of definition.steps) if (step.kind === "child") this.add(step.child);
  }

  /** The definition that a saga is pinned to, or undefined when it is not held here. */
  find(name: string, version: number): SagaDefinition | undefined {
    return this.#byName.get(name)?.get(version);
  }

  /**
   * The newest version of a name.
   *
   * @throws SagaError `SAGAZ_UNKNOWN_SAGA`, with the nearest known name.
   */
  get(name: string): SagaDefinition {
    const versions = [...(this.#byName.get(name)?.values() ?? [])];
    const newest = versions.sort((a, b) => b.version - a.version)[0];
    if (newest) return newest;
    throw new SagaError("SAGAZ_UNKNOWN_SAGA", {
      saga: name,
      version: "",
      hint: didYouMean(name, this.#byName.keys()),
    });
  }

  /** All of them, for registration with the storage. */
  held(): HeldDefinition[] {
    return [...this].map((definition) => ({
      sagaName: definition.name,
      version: definition.version,
      graphHash: definition.graphHash,
      graph: JSON.stringify(toGraphJson(definition)),
    }));
  }

  *[Symbol.iterator](): Iterator<SagaDefinition> {
    for (const versions of this.#byName.values()) yield* versions.values();
  }
}

function toGraphJson(definition: SagaDefinition): object {
  const steps = definition.steps.map(({ name, kind, role, dependsOn, undoAfter }) => ({
    name,
    kind,
    role,
    dependsOn,
    undoAfter,
  }));
  return { name: definition.name, version: definition.version, steps };
}
