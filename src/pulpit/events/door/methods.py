"""What the door answers to each method on a channel, as RabbitMQ does where it can."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from pamqp import base, commands

from pulpit.events.door.channel import Channel
from pulpit.events.door.frames import FrameType, encode_frame, short_string
from pulpit.events.door.queues import QueueTraits
from pulpit.events.door.refusals import ChannelRefusal, ConnectionRefusal
from pulpit.events.door.topology import server_name
from pulpit.events.message import EXCHANGE
from pulpit.events.reply_codes import ReplyCode

__all__ = ["handle"]

_DECLARE_OK: Final = struct.pack(">HH", 50, 11)
_WITH_CONTENT: Final = (commands.Basic.Deliver, commands.Basic.GetOk, commands.Basic.Return)

Handler = Callable[[Channel, Any], None]


def handle(channel: Channel, method: base.Frame) -> None:
    """Do what *method* asks and answer it.

    Raises:
        ChannelRefusal: the channel must be closed.
        ConnectionRefusal: the connection must be closed.
    """
    handler = _HANDLERS.get(type(method))
    if isinstance(method, _WITH_CONTENT):
        raise ConnectionRefusal(ReplyCode.UNEXPECTED_FRAME, f"{method.name} is for clients")
    if handler is None:
        raise ConnectionRefusal(ReplyCode.COMMAND_INVALID, f"{method.name} can't be handled here")
    handler(channel, method)


def _exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    channel.topology.declare_exchange(
        method.exchange,
        method.exchange_type,
        passive=method.passive,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
    )
    if not method.nowait:
        channel.send(commands.Exchange.DeclareOk())


def _exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> None:
    if channel.topology.is_fixed(method.exchange):
        raise ChannelRefusal(
            ReplyCode.ACCESS_REFUSED, f"exchange '{method.exchange}' can't be deleted"
        )
    if not method.nowait:
        channel.send(commands.Exchange.DeleteOk())


def _exchange_bind(_: Channel, method: base.Frame) -> NoReturn:
    raise ChannelRefusal(
        ReplyCode.ACCESS_REFUSED, f"{method.name}: bind queues to '{EXCHANGE}', not exchanges"
    )


def _queue_declare(channel: Channel, method: commands.Queue.Declare) -> None:
    topology, owner, name = channel.topology, channel.owner, method.queue
    if method.passive:
        queue = topology.find(name, owner)
    else:
        traits = QueueTraits(
            auto_delete=method.auto_delete,
            exclusive=method.exclusive,
            arguments=method.arguments or {},
        )
        if topology.exists(name):
            queue = topology.find_equal(name, traits, owner)
        else:
            name = topology.check_new(name, traits, owner)
            queue = owner.new_queue(name, traits, channel.number)
    channel.last_queue = queue.name
    if not method.nowait:
        counts = struct.pack(">II", len(queue), len(queue.consumers))
        # by hand: the codec refuses names that RabbitMQ takes
        payload = _DECLARE_OK + short_string(queue.name) + counts
        owner.reply(encode_frame(FrameType.METHOD, channel.number, payload))


def _queue_bind(channel: Channel, method: commands.Queue.Bind) -> None:
    queue = channel.queue_named(method.queue)
    channel.topology.check_exchange(method.exchange)
    channel.topology.bind(queue, method.routing_key, method.arguments, channel.owner)
    if not method.nowait:
        channel.send(commands.Queue.BindOk())


def _queue_unbind(channel: Channel, method: commands.Queue.Unbind) -> None:
    name = channel.queue_name(method.queue)
    if not method.exchange:
        channel.topology.check_exchange(method.exchange)
    if method.exchange == EXCHANGE:
        channel.topology.unbind(name, method.routing_key, method.arguments, channel.owner)
    channel.send(commands.Queue.UnbindOk())


def _queue_purge(channel: Channel, method: commands.Queue.Purge) -> None:
    count = channel.queue_named(method.queue).purge()
    if not method.nowait:
        channel.send(commands.Queue.PurgeOk(message_count=count))


def _queue_delete(channel: Channel, method: commands.Queue.Delete) -> None:
    name = channel.queue_name(method.queue)
    count = 0
    if channel.topology.exists(name):
        queue = channel.topology.find(name, channel.owner)
        count = len(queue)
        if method.if_unused and queue.consumers:
            raise ChannelRefusal(ReplyCode.PRECONDITION_FAILED, f"queue '{name}' in use")
        if method.if_empty and count:
            raise ChannelRefusal(ReplyCode.PRECONDITION_FAILED, f"queue '{name}' is not empty")
        channel.owner.delete_queue(queue)
    if not method.nowait:
        channel.send(commands.Queue.DeleteOk(message_count=count))


def _basic_qos(channel: Channel, method: commands.Basic.Qos) -> None:
    if method.prefetch_size:
        raise ConnectionRefusal(ReplyCode.NOT_IMPLEMENTED, "prefetch_size must be 0")
    channel.limit_prefetch(method.prefetch_count, of_all=method.global_)
    channel.send(commands.Basic.QosOk())


def _basic_consume(channel: Channel, method: commands.Basic.Consume) -> None:
    tag = method.consumer_tag or server_name("ctag")
    if tag in channel.consumers:
        raise ConnectionRefusal(
            ReplyCode.NOT_ALLOWED, f"attempt to reuse consumer tag '{method.consumer_tag}'"
        )
    queue = channel.queue_named(method.queue)
    if queue.consumers and (method.exclusive or queue.exclusively_consumed):
        raise ChannelRefusal(
            ReplyCode.ACCESS_REFUSED, f"queue '{queue.name}' in exclusive use by a consumer"
        )
    limit = channel.settings.max_consumers
    if channel.owner.consumers >= limit:
        raise ChannelRefusal(
            ReplyCode.PRECONDITION_FAILED, f"a connection may have {limit} consumers here"
        )
    queue.exclusively_consumed = method.exclusive
    if not method.nowait:
        channel.send(commands.Basic.ConsumeOk(consumer_tag=tag))
    channel.consume(queue, tag, no_ack=method.no_ack)


def _basic_cancel(channel: Channel, method: commands.Basic.Cancel) -> None:
    channel.cancel(method.consumer_tag or "")
    if not method.nowait:
        channel.send(commands.Basic.CancelOk(consumer_tag=method.consumer_tag))


def _basic_get(channel: Channel, method: commands.Basic.Get) -> None:
    if not channel.get(channel.queue_named(method.queue), no_ack=method.no_ack):
        channel.send(commands.Basic.GetEmpty())


def _basic_ack(channel: Channel, method: commands.Basic.Ack) -> None:
    channel.acknowledge(method.delivery_tag, multiple=method.multiple)


def _basic_nack(channel: Channel, method: commands.Basic.Nack) -> None:
    channel.reject(method.delivery_tag, multiple=method.multiple, requeue=method.requeue)


def _basic_reject(channel: Channel, method: commands.Basic.Reject) -> None:
    channel.reject(method.delivery_tag or 0, multiple=False, requeue=method.requeue)


def _basic_recover_async(
    channel: Channel, method: commands.Basic.Recover | commands.Basic.RecoverAsync
) -> None:
    if not method.requeue:
        raise ConnectionRefusal(ReplyCode.NOT_IMPLEMENTED, "basic.recover needs requeue=true")
    channel.reject(0, multiple=True, requeue=True)


def _basic_recover(channel: Channel, method: commands.Basic.Recover) -> None:
    _basic_recover_async(channel, method)
    channel.send(commands.Basic.RecoverOk())


def _basic_publish(_: Channel, __: commands.Basic.Publish) -> NoReturn:
    raise ChannelRefusal(
        ReplyCode.ACCESS_REFUSED, "this server tells events; nothing can be published to it"
    )


def _channel_flow(channel: Channel, method: commands.Channel.Flow) -> None:
    channel.flowing = bool(method.active)
    channel.touch_consumed()
    channel.send(commands.Channel.FlowOk(active=method.active))


def _confirm_select(channel: Channel, method: commands.Confirm.Select) -> None:
    if not method.nowait:
        channel.send(commands.Confirm.SelectOk())


def _transaction(_: Channel, method: base.Frame) -> NoReturn:
    raise ChannelRefusal(
        ReplyCode.ACCESS_REFUSED, f"{method.name}: nothing is published here, so nothing commits"
    )


_HANDLERS: Final[Mapping[type[base.Frame], Handler]] = {
    commands.Exchange.Declare: _exchange_declare,
    commands.Exchange.Delete: _exchange_delete,
    commands.Exchange.Bind: _exchange_bind,
    commands.Exchange.Unbind: _exchange_bind,
    commands.Queue.Declare: _queue_declare,
    commands.Queue.Bind: _queue_bind,
    commands.Queue.Unbind: _queue_unbind,
    commands.Queue.Purge: _queue_purge,
    commands.Queue.Delete: _queue_delete,
    commands.Basic.Qos: _basic_qos,
    commands.Basic.Consume: _basic_consume,
    commands.Basic.Cancel: _basic_cancel,
    commands.Basic.Get: _basic_get,
    commands.Basic.Ack: _basic_ack,
    commands.Basic.Nack: _basic_nack,
    commands.Basic.Reject: _basic_reject,
    commands.Basic.Recover: _basic_recover,
    commands.Basic.RecoverAsync: _basic_recover_async,
    commands.Basic.Publish: _basic_publish,
    commands.Channel.Flow: _channel_flow,
    commands.Confirm.Select: _confirm_select,
    commands.Tx.Select: _transaction,
    commands.Tx.Commit: _transaction,
    commands.Tx.Rollback: _transaction,
}
