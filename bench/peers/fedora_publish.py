"""fedora-messaging's ``publish``: it returns when the broker has confirmed the message."""

from __future__ import annotations

import json

from fedora_messaging import api, config

from bench.peers._given import Stopwatch, given

__all__ = ["main"]


def main() -> None:
    """Be the peer."""
    asked = given()
    config.conf.load_config("/nonexistent: what is not set below is its default")
    config.conf["amqp_url"] = asked.url
    config.conf["publish_exchange"] = asked.exchange
    messages = [
        api.Message(
            topic=told["routing_key"],
            body=json.loads(told["body"]),
            headers=told["headers"],
        )
        for told in asked.messages
    ]
    # connects; it goes to no queue
    api.publish(api.Message(topic="connect", body={}))
    watch = Stopwatch()
    for message in messages:
        api.publish(message)
    watch.tell()


if __name__ == "__main__":
    main()
