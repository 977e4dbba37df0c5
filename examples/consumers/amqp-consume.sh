#!/bin/sh
# Print every task event, or those of one task, as a line of JSON.
#
#     apt-get install amqp-tools
#     sh amqp-consume.sh [TASK-UUID]
#
# AMQP_URL names the broker, or the server's own AMQP door.

exec amqp-consume --url "${AMQP_URL:-amqp://guest:guest@localhost:5672}" \
    --exchange pulp.api.v2 --routing-key "tasks.${1:-#}" --exclusive --no-ack \
    -- sh -c 'cat; echo'
