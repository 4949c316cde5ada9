import path from "node:path";
import { Hosted } from "../hosted.ts";
import type { HostCalls } from "./host.ts";

/** A system in a process of its own. */
export type SystemHost = Hosted<HostCalls>;

/** Starts a process for the system of that name. */
export function hostSystem(name: string): SystemHost {
  return new Hosted({ name, file: path.join(import.meta.dirname, "host.ts") });
}
