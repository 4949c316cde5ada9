import { readScript, writeScript } from "./base.ts";
import { mail, rows } from "./rows.ts";

/** Scripts of the mailbox, and of what keeps everything in shape. */
export const mailboxScripts = {
  /** Request: id, mailId. Text: the mail. */
  send: writeScript(
    rows,
    mail,
    `
if not putMail(R.id, R.mailId, text()) then return refuse('SAGA_NOT_FOUND', { sagaId = R.id }) end
save()
tell()`,
  ),

  /** Request: epoch, limit, after (id, seq). */
  fetch: readScript(`
local mails, after = {}, R.after
local ids = call('ZRANGEBYLEX', K .. 'mailed:' .. R.epoch, after and '[' .. after.id or '-', '+', 'LIMIT', 0, R.limit + 1)
for _, id in ipairs(ids) do
  local from = after and after.id == id and '(' .. after.seq or '-inf'
  local unread = call('ZRANGEBYSCORE', K .. 'unread:' .. id, from, '+inf', 'WITHSCORES', 'LIMIT', 0, R.limit - #mails)
  for n = 1, #unread, 2 do
    mails[#mails + 1] = { id, tonumber(unread[n + 1]), unread[n],
      string.sub(call('HGET', K .. 'mail:' .. id, 'i' .. unread[n]), 2) }
  end
  if #mails >= R.limit then break end
end
return mails`),

  /** Request: epoch, refusals (id, mailId). Texts: each refusal. */
  refuse: writeScript(
    rows,
    mail,
    `
for _, refusal in ipairs(R.refusals) do
  local why, saga = text(), find(refusal.id)
  if saga and saga.owner == R.epoch then refuseMail(refusal.id, refusal.mailId, why) end
end`,
  ),
};
