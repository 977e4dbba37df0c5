/* A publisher in C (librabbitmq) with confirms: publisher PORT EXCHANGE WINDOW MESSAGES
 *
 * Reads the messages, which bench/_peers.py has written, and makes them ready; then connects,
 * publishes all with at most WINDOW unconfirmed, and prints the monotonic seconds of begin and
 * end as JSON. Numbers in the file are big-endian; a text is its length in 32 bits and its bytes.
 */
#define _POSIX_C_SOURCE 200809L

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { CHANNEL = 1, FRAME_MAX = 131072, PATIENCE_SECONDS = 60 };

struct message {
    amqp_bytes_t key, body;
    amqp_basic_properties_t properties;
};

static void fail(const char *what)
{
    fprintf(stderr, "publisher: %s\n", what);
    exit(1);
}

static void *room(size_t count, size_t size)
{
    void *made = calloc(count ? count : 1, size);
    if (!made)
        fail("out of memory");
    return made;
}

static double now(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec / 1e9;
}

/* Reading the file, which stays in memory: texts point into it. */

static const unsigned char *at, *end;

static uint64_t number(int bytes)
{
    uint64_t value = 0;
    if (end - at < bytes)
        fail("the file of messages is cut short");
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

static amqp_bytes_t text(void)
{
    amqp_bytes_t value = {.len = number(4)};
    if ((size_t)(end - at) < value.len)
        fail("the file of messages is cut short");
    value.bytes = (void *)at;
    at += value.len;
    return value;
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size;
    unsigned char *bytes;
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0)
        fail("the file of messages can't be read");
    rewind(file);
    bytes = room((size_t)size, 1);
    if (fread(bytes, 1, (size_t)size, file) != (size_t)size)
        fail("the file of messages can't be read");
    fclose(file);
    at = bytes;
    end = bytes + size;
}

static void read_headers(amqp_table_t *headers)
{
    headers->num_entries = (int)number(4);
    headers->entries = room((size_t)headers->num_entries, sizeof *headers->entries);
    for (int i = 0; i < headers->num_entries; i++) {
        amqp_table_entry_t *entry = &headers->entries[i];
        entry->key = text();
        entry->value.kind = (uint8_t)number(1);
        if (entry->value.kind == AMQP_FIELD_KIND_UTF8)
            entry->value.value.bytes = text();
        else
            entry->value.value.i32 = (int32_t)number(4);
    }
}

static void read_message(struct message *message)
{
    amqp_basic_properties_t *properties = &message->properties;
    message->key = text();
    message->body = text();
    properties->_flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                         AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                         AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG |
                         AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
    properties->content_type = text();
    properties->content_encoding = text();
    properties->message_id = text();
    properties->type = text();
    properties->app_id = text();
    properties->delivery_mode = (uint8_t)number(1);
    properties->timestamp = number(8);
    read_headers(&properties->headers);
}

/* Talking to the broker. */

static void expect_normal(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        fail(what);
}

static amqp_connection_state_t connect_to(int port, amqp_bytes_t exchange)
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (!socket || amqp_socket_open(socket, "127.0.0.1", port))
        fail("no connection");
    expect_normal(amqp_login(connection, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest",
                             "guest"),
                  "the broker refuses the login");
    amqp_channel_open(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "no channel");
    amqp_exchange_declare(connection, CHANNEL, exchange, amqp_cstring_bytes("topic"), 0, 1, 0, 0,
                          amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(connection), "no exchange");
    amqp_confirm_select(connection, CHANNEL);
    expect_normal(amqp_get_rpc_reply(connection), "no confirms");
    return connection;
}

/* Tags above `lowest` may be confirmed one by one, out of order. */
static bool *confirmed;
static uint64_t lowest = 1, outstanding;

static void settle(uint64_t tag)
{
    if (!confirmed[tag]) {
        confirmed[tag] = true;
        outstanding--;
    }
}

static void await_confirm(amqp_connection_state_t connection)
{
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    amqp_frame_t frame;
    amqp_basic_ack_t *ack;
    if (amqp_simple_wait_frame_noblock(connection, &frame, &patience) != AMQP_STATUS_OK)
        fail("the connection is lost, or no confirm came");
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        fail("the broker says something else than a confirm");
    ack = frame.payload.method.decoded;
    if (ack->multiple)
        while (lowest <= ack->delivery_tag)
            settle(lowest++);
    else
        settle(ack->delivery_tag);
    amqp_maybe_release_buffers(connection);
}

int main(int count, char **arguments)
{
    if (count != 5)
        fail("PORT EXCHANGE WINDOW MESSAGES");
    amqp_bytes_t exchange = amqp_cstring_bytes(arguments[2]);
    uint64_t window = strtoull(arguments[3], NULL, 10), total;
    load(arguments[4]);
    total = number(4);
    struct message *messages = room(total, sizeof *messages);
    for (uint64_t i = 0; i < total; i++)
        read_message(&messages[i]);
    confirmed = room(total + 1, sizeof *confirmed);

    double began = now();
    amqp_connection_state_t connection = connect_to(atoi(arguments[1]), exchange);
    for (uint64_t i = 0; i < total; i++) {
        while (outstanding >= window)
            await_confirm(connection);
        outstanding++;
        if (amqp_basic_publish(connection, CHANNEL, exchange, messages[i].key, 0, 0,
                               &messages[i].properties, messages[i].body))
            fail("the connection is lost");
    }
    while (outstanding)
        await_confirm(connection);
    printf("{\"began\": %.9f, \"ended\": %.9f}\n", began, now());
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return 0;
}
