import { runSeed } from "./scenario.ts";
import { addSights } from "../../packages/sagaz/src/testing/simulator/history.ts";
const [from = "1", to = "100", show = ""] = process.argv.slice(2);
const total = {};
const laws = new Map<string, number[]>();
const t = Date.now();
for (let seed = Number(from); seed <= Number(to); seed++) {
  const t0 = Date.now();
  const o = await runSeed(seed);
  if (Date.now() - t0 > 1000) console.log("slow seed", seed, Date.now() - t0, o.lines.length);
  addSights(total, o.sights);
  for (const b of new Set(o.breaches.map((b) => b.law))) laws.set(b, [...(laws.get(b) ?? []), seed]);
  if (show) { console.log((show === "all" ? o.lines : o.tail).join("\n")); console.log(o.breaches); }
}
console.log(total, "\n", [...laws].map(([l, s]) => `${l}: ${s.length}: ${s.slice(0, 10)}`).join("\n"), `\n${(Date.now() - t) / (Number(to) - Number(from) + 1)} ms each`);
