"""Print the events that a listener of type http sends, if their signature is right.

    WEBHOOK_SECRET=whsec_… python webhook_receiver.py [PORT]

Signed as Standard Webhooks has it: https://www.standardwebhooks.com
"""

import os
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
LONGEST = 16 * 1024 * 1024
seen = set()


class Receiver(BaseHTTPRequestHandler):
    """Answers 2xx to what it has understood; all else is sent again."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Take one event."""
        length = int(self.headers.get("Content-Length", 0))
        if length > LONGEST:
            self.close_connection = True
            self.answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(length)
        try:
            # also refuses what was signed more than five minutes ago
            event = webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):
            self.answer(HTTPStatus.UNAUTHORIZED)
            return
        # the same event may come twice, then under the same id
        if self.headers["webhook-id"] not in seen:
            seen.add(self.headers["webhook-id"])
            print(event["event_type"], event["payload"], flush=True)
        self.answer(HTTPStatus.OK)

    def answer(self, status):
        """Answer without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words):
        """Say nothing of requests."""


port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
with ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
    print(f"listening on port {server.server_address[1]}", file=sys.stderr, flush=True)
    server.serve_forever()
