// Print the routing keys of as many messages as asked for, acknowledging each.
//
//     node consume.js URL COUNT

import amqp from "amqplib";

const [url, count] = process.argv.slice(2);
const connection = await amqp.connect(url);
const channel = await connection.createConfirmChannel();
await channel.prefetch(2);
await channel.assertExchange("pulp.api.v2", "topic", { durable: true });
const { queue } = await channel.assertQueue("", { exclusive: true });
await channel.bindQueue(queue, "pulp.api.v2", "tasks.#");
let seen = 0;
await channel.consume(queue, async (message) => {
  console.log(message.fields.routingKey, message.properties.headers["pulpit-revision"]);
  channel.ack(message);
  seen += 1;
  if (seen === Number(count)) {
    await channel.close();
    await connection.close();
  }
});
