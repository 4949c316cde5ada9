"""A participant of sagas in Python: the standard library and a Redis, nothing else.

It keeps the contract in docs/how-to/write-a-participant.md: what it remembers of a command, what the command changes and the
reply are one transaction of SQLite. What is not sent yet when it dies is sent by the next process on the same file.

Usage: python3 participant.py DATABASE_FILE REDIS_HOST:PORT [KEY_PREFIX]

over-http.py is the same without a broker.
"""

import json
import socket
import sqlite3
import sys
import uuid
from datetime import datetime, timezone

NAME = "python-inventory"
TOPIC = "python-inventory-commands"
DAYS_KEPT = 396  # 13 months: a saga may go back long after


class Refused(Exception):
    """The business says no."""


class Redis:
    """As much of Redis's protocol as streams take."""

    def __init__(self, host, port):
        self._socket = socket.create_connection((host, port))
        self._file = self._socket.makefile("rb")

    def call(self, *words):
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"".join(parts))
        return self._answer()

    def _answer(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        size = int(rest)
        if size < 0:
            return None
        if kind == b"*":
            return [self._answer() for _ in range(size)]
        return self._file.read(size + 2)[:-2]


# What this service does.

def reserve(db, command):
    sku = (command.get("payload") or {}).get("sku")
    left = db.execute("update shelf set left_over = left_over - 1 where sku = ? and left_over > 0", (sku,))
    if left.rowcount == 0:
        raise Refused(f"there is no {sku} left")
    db.execute("insert into effects values (?, 'do')", (command["effect"],))
    return {"sku": sku}


def release(db, command, result):
    db.execute("update shelf set left_over = left_over + 1 where sku = ?", (result["sku"],))
    db.execute("insert into effects values (?, 'undo')", (command["effect"],))


COMMANDS = {"reserve": {"do": reserve, "undo": release}}

SCHEMA = """
create table if not exists shelf (sku text primary key, left_over integer not null);
create table if not exists effects (effect text, direction text);
insert or ignore into shelf values ('bolt', 100000), ('nut', 100000);
create table if not exists remembered (effect text primary key, standing text not null, touched_at text not null);
create table if not exists outbox (id integer primary key, topic text, key text, headers text, payload text, refused int);
"""


# What every participant does.

def unfit(command):
    """Says why something is no command, or nothing."""
    for name in ("sagaId", "step", "command", "effect", "idempotencyKey", "replyTo"):
        if not isinstance(command.get(name), str) or command[name] == "":
            return f"its {name} must be a text"
    if command.get("direction") not in ("do", "undo"):
        return "its direction must be do or undo"
    for name, least in (("round", 0), ("attempt", 1)):
        if type(command.get(name)) is not int or command[name] < least:
            return f"its {name} must be a whole number from {least} on"
    return None


def refused(code, message):
    return {"outcome": "refused", "error": {"code": code, "message": message}}


def answer(db, command):
    """Decides about a command, carries it out, and remembers the answer: all in the caller's transaction."""
    why = unfit(command)
    if why:
        return refused("INVALID_COMMAND", why)
    direction, number = command["direction"], command["round"]
    handler = COMMANDS.get(command["command"], {}).get(direction)
    if handler is None:
        return refused("UNKNOWN_COMMAND", f'it cannot {direction} "{command["command"]}"')
    row = db.execute("select standing from remembered where effect = ?", (command["effect"],)).fetchone()
    standing = json.loads(row[0]) if row else {}
    done, before = standing.get("do"), standing.get(direction)
    if direction == "do" and "undo" in standing:
        return refused("UNDONE_BEFORE", "its undo was asked for before")
    if before and number < before["round"]:
        return refused("STALE_ROUND", f"round {before['round']} was answered before")
    if before and (number == before["round"] or before["answer"]["outcome"] == "done"):
        reply = before["answer"]
    elif direction == "do":
        reply = attempt(db, lambda: handler(db, command))
    elif done and done["answer"]["outcome"] == "done":
        reply = attempt(db, lambda: handler(db, command, done["answer"].get("result")))
    else:
        reply = {"outcome": "done"}  # nothing to undo: remembered, so that it is not done later
    standing[direction] = {"round": number, "answer": reply}
    db.execute(
        "insert or replace into remembered values (?, ?, datetime('now'))",
        (command["effect"], json.dumps(standing)),
    )
    return reply


def attempt(db, work):
    db.execute("savepoint attempt")
    try:
        result = work()
    except Refused as no:
        db.execute("rollback to attempt")
        return {"outcome": "failed", "error": {"message": str(no)}}
    finally:
        db.execute("release attempt")
    return {"outcome": "done"} if result is None else {"outcome": "done", "result": result}


def put_reply(db, command, headers, reply):
    echoed = {name: command.get(name, "") for name in ("sagaId", "step", "direction", "round", "idempotencyKey")}
    envelope = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid.uuid4()),
        "ce_type": "sagaz.reply.v1",
        "ce_source": f"/{NAME}",
        "ce_subject": command["sagaId"],
        "ce_time": datetime.now(timezone.utc).isoformat(),
        "content-type": "application/json",
        "causation-id": headers.get("ce_id", ""),
    }
    for name in ("correlation-id", "traceparent"):
        if name in headers:
            envelope[name] = headers[name]
    db.execute(
        "insert into outbox (topic, key, headers, payload) values (?, ?, ?, ?)",
        (command["replyTo"], command["sagaId"], json.dumps(envelope), json.dumps({**echoed, **reply})),
    )


def is_answerable(command):
    texts = ("sagaId", "step", "replyTo", "direction")
    return isinstance(command, dict) and all(isinstance(command.get(name), str) for name in texts) and \
        type(command.get("round")) is int


def process(db, headers, payload):
    if headers.get("ce_type") != "sagaz.command.v1":
        return
    try:
        command = json.loads(payload)
    except ValueError:
        command = None
    if not is_answerable(command):
        print(f"passed over: {payload[:100]!r}", file=sys.stderr)  # a real service keeps it for people to look at
        return
    put_reply(db, command, headers, answer(db, command))


def send_replies(db, redis, prefix):
    for row, topic, key, headers, payload in db.execute("select id, topic, key, headers, payload from outbox order by id").fetchall():
        redis.call("XADD", f"{prefix}topic:{topic}", "*", "key", key, "headers", headers, "payload", payload)
        db.execute("delete from outbox where id = ?", (row,))


def connect(file):
    db = sqlite3.connect(file, isolation_level=None, timeout=30)
    db.execute("pragma synchronous = full")
    return db


def open_database(file):
    db = connect(file)
    db.executescript("pragma journal_mode = wal;" + SCHEMA)
    db.execute("delete from remembered where touched_at < datetime('now', ?)", (f"-{DAYS_KEPT} days",))
    return db


def main():
    database, address, *rest = sys.argv[1:]
    prefix = rest[0] if rest else "sagaz:"
    host, port = address.rsplit(":", 1)
    redis = Redis(host, int(port))
    db = open_database(database)
    stream = f"{prefix}topic:{TOPIC}"
    try:
        redis.call("XGROUP", "CREATE", stream, NAME, "0", "MKSTREAM")
    except RuntimeError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
    print("ready", flush=True)
    place = "0"  # first what was handed to us before, and not acknowledged; then ">": what is new
    while True:
        send_replies(db, redis, prefix)
        read = redis.call("XREADGROUP", "GROUP", NAME, "only", "COUNT", 1, "BLOCK", 1000, "STREAMS", stream, place)
        entries = read[0][1] if read else []
        if not entries:
            place = ">"
        for entry, fields in entries:
            db.execute("begin immediate")
            entry_fields = dict(zip(fields[::2], fields[1::2]))
            process(db, json.loads(entry_fields[b"headers"]), entry_fields[b"payload"])
            db.execute("commit")
            send_replies(db, redis, prefix)
            redis.call("XACK", stream, NAME, entry)


if __name__ == "__main__":
    main()
