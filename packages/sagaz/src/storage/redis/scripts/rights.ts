import { readScript } from "./base.ts";
import { inboxScripts } from "./inbox.ts";
import { journalScripts } from "./journal.ts";
import { leaseScripts } from "./leases.ts";
import { mailboxScripts } from "./mailbox.ts";
import { outboxScripts } from "./outbox.ts";
import { queryScripts } from "./queries.ts";
import { upkeepScripts } from "./upkeep.ts";

const all = [
  inboxScripts,
  journalScripts,
  leaseScripts,
  mailboxScripts,
  outboxScripts,
  queryScripts,
  upkeepScripts,
].flatMap((scripts) => Object.values(scripts));

/** What our scripts call on keys of ours, read from them. */
export const calledCommands: readonly string[] = [
  ...new Set(
    all.flatMap((script) =>
      [...script.matchAll(/\bcall\('([A-Z]+)', (?:K|unpack)/g)].map(([, name]) => name ?? ""),
    ),
  ),
].sort();

/** Request: commands. Those of them that may not be called. */
export const forbiddenScript = readScript(`
local forbidden = {}
for _, command in ipairs(R.commands) do
  if not redis.acl_check_cmd(command, K .. 'any') then forbidden[#forbidden + 1] = command end
end
return forbidden`);
