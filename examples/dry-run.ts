/** Look before it runs: layers, the longest chain, the order of undoing, and a diagram for the wiki. */
import { CompensationGraph, saga, toMermaid, validate } from "sagaz";

const trip = saga("trip")
  .step("flight", { do: () => 1, undo: () => {} })
  .step("hotel", { do: () => 1, undo: () => {} })
  .step("car", { after: ["flight"], do: () => 1, undo: () => {} })
  .pivot("pay", { after: ["hotel", "car"], do: () => 1, verify: () => ({ outcome: "not_done" }) })
  .step("tickets", { after: ["pay"], do: () => 1 })
  .build();

const plan = validate(trip);
console.log("side by side ", plan.layers);
console.log("longest chain", plan.criticalPath);
console.log("undone       ", plan.undoLayers);
console.log("if the hotel fails", new CompensationGraph(trip, ["flight", "car"]).layers);
console.log(toMermaid(trip).trimEnd());

/* prints:
side by side  [ [ 'flight', 'hotel' ], [ 'car' ], [ 'pay' ], [ 'tickets' ] ]
longest chain [ 'flight', 'car', 'pay', 'tickets' ]
undone        [ [ 'hotel', 'car' ], [ 'flight' ] ]
if the hotel fails [ [ 'car' ], [ 'flight' ] ]
flowchart LR
  subgraph before ["before the pivot"]
    s0["flight<br/>↩"]
    s1["hotel<br/>↩"]
    s2["car<br/>↩"]
  end
  s3{{"pay<br/>pivot"}}
  subgraph after ["after the pivot"]
    s4["tickets"]
  end
  s0 --> s2
  s1 --> s3
  s2 --> s3
  s3 --> s4
  s2 -. undo .-> s0
*/
