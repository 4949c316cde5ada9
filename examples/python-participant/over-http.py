"""The participant of participant.py without a broker: the standard library, and nothing else.

It is asked by POST, and answers 202 when all is committed: until then whoever asks keeps the command, and asks again. Its
replies go from its outbox by POST to the address that the command names, until they are taken.

Usage: python3 over-http.py DATABASE_FILE LISTEN_PORT REPLY_ORIGIN
"""

import http.client
import http.server
import json
import sys
import threading
from urllib.parse import quote, unquote, urlsplit

from participant import connect, open_database, process

BODY_BYTES_MAX = 2 * 1024 * 1024
TIMEOUT_S = 10  # of a reply that is sent, and of a request that does not come to its end
PAUSE_S = 0.2  # before what could not be sent is tried again
LATER = (408, 425, 429)  # like 5xx: not now; every other answer but 2xx is a refusal


def make_handler(database, origin, replies):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = TIMEOUT_S

        def do_POST(self):
            # A real service looks first who asks: at the authorization header, say.
            size = int(self.headers.get("content-length", "-1"))
            if not 0 <= size <= BODY_BYTES_MAX:
                self.close_connection = True
                return self.answer(413)
            payload = self.rfile.read(size)
            headers = {to_envelope(name): unquote(value) for name, value in self.headers.items()}
            if not may_answer(payload, origin):
                return self.answer(403)  # it must not be told to post wherever somebody likes
            db = connect(database)
            try:
                db.execute("begin immediate")
                process(db, headers, payload)
                db.execute("commit")
            finally:
                db.close()  # what was not committed is gone
            replies.set()
            self.answer(202)

        def answer(self, status):
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    return Handler


def to_envelope(name):
    """Attributes of CloudEvents are `ce-id` in HTTP, and `ce_id` everywhere else."""
    lower = name.lower()
    return "ce_" + lower[3:] if lower.startswith("ce-") else lower


def to_headers(envelope):
    return {name.replace("ce_", "ce-", 1): quote(value, safe=" !#$&'()*+,/:;=?@") for name, value in envelope.items()}


def may_answer(payload, origin):
    try:
        reply_to = json.loads(payload)["replyTo"]
        return origin_of(reply_to) == origin
    except (ValueError, TypeError, KeyError, AttributeError):
        return True  # no command, or none that says to whom: nothing is sent


def origin_of(url):
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def post(url, envelope, payload):
    """Answers the status; redirects are not followed."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, payload.encode(), to_headers(envelope))
        return connection.getresponse().status
    finally:
        connection.close()


def send_replies(db):
    """Sends what waits, in order. Answers whether all of it is sent."""
    rows = db.execute("select id, topic, headers, payload from outbox where refused is null order by id").fetchall()
    for row, url, headers, payload in rows:
        try:
            status = post(url, json.loads(headers), payload)
        except (OSError, http.client.HTTPException):
            return False
        if status >= 500 or status in LATER:
            return False
        if 200 <= status < 300:
            db.execute("delete from outbox where id = ?", (row,))
        else:
            db.execute("update outbox set refused = ? where id = ?", (status, row))  # for people to look at
    return True


def keep_sending(database, replies):
    db = connect(database)
    while True:
        replies.wait()
        replies.clear()
        if not send_replies(db):
            replies.set()
            threading.Event().wait(PAUSE_S)


def main():
    database, port, origin = sys.argv[1:]
    replies = threading.Event()
    replies.set()  # what a crash has left
    open_database(database).close()
    threading.Thread(target=keep_sending, args=(database, replies), daemon=True).start()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), make_handler(database, origin, replies))
    print(f"ready {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
