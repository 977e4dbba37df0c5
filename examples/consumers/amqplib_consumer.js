// Print every task event, or those of one task, with amqplib for Node.js.
//
//     npm install amqplib
//     node amqplib_consumer.js [TASK-UUID]
//
// AMQP_URL names the broker, or the server's own AMQP door.

const amqp = require("amqplib");

const URL = process.env.AMQP_URL || "amqp://guest:guest@localhost:5672";
const ENDS = ["finished", "error", "canceled", "skipped"];

async function main(task) {
  const connection = await amqp.connect(URL);
  const channel = await connection.createChannel();
  await channel.assertExchange("pulp.api.v2", "topic", { durable: true });
  // a queue without a name, of our own: it is gone when we are
  const { queue } = await channel.assertQueue("", { exclusive: true });
  await channel.bindQueue(queue, "pulp.api.v2", `tasks.${task}`);
  await channel.consume(queue, (message) => {
    if (message === null) throw new Error("the server has ended the subscription");
    const report = JSON.parse(message.content.toString());
    console.log(message.fields.routingKey, report.state);
    channel.ack(message);
    if (report.task_id === task && ENDS.includes(report.state)) connection.close();
  });
  console.error(`waiting for tasks.${task}`);
}

main(process.argv[2] || "#").catch((error) => {
  console.error(error.message);
  process.exit(1);
});
