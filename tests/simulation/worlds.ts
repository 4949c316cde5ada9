import { addSights } from "../../packages/sagaz/src/testing/simulator/history.ts";
import type { Sights } from "../../packages/sagaz/src/testing/simulator/history.ts";
import { runCommandSeed } from "./commands/command-scenario.ts";
import { runDeliverySeed } from "./delivery/delivery-scenario.ts";
import { runSeed } from "./scenario.ts";
import type { Outcome } from "./live-out.ts";

/** Worlds of delivery and of commands take longer than one of sagas: so many seeds have one of either. */
const deliveryEach = 4;
const commandsEach = 8;

/** Runs the worlds of one seed: that of sagas, and perhaps one of delivery, or one of commands. */
export async function runWorlds(seed: number): Promise<Outcome> {
  const sagas = await runSeed(seed);
  const other = await runOther(seed);
  if (!other) return sagas;
  const sights: Sights = {};
  for (const world of [sagas, other]) addSights(sights, world.sights);
  return {
    seed,
    lines: [...sagas.lines, ...other.lines],
    tail: sagas.breaches.length > 0 ? sagas.tail : other.tail,
    breaches: [...sagas.breaches, ...other.breaches],
    sights: { ...sights, histories: 1 },
  };
}

async function runOther(seed: number): Promise<Outcome | undefined> {
  if (seed % deliveryEach === 0) return runDeliverySeed(seed / deliveryEach);
  if (seed % commandsEach === 1) return runCommandSeed((seed - 1) / commandsEach + 1);
  return undefined;
}
