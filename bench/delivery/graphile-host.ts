import { answerCalls } from "../answer-calls.ts";
import { graphileRelay } from "./graphile-relay.ts";
import { toRelayCalls } from "./relaying.ts";

answerCalls(toRelayCalls(graphileRelay));
