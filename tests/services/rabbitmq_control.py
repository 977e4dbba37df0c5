"""Commands of rabbitmqctl as the broker itself carries them out.

The program starts a virtual machine of its own, which takes a second of processor time.
"""

from __future__ import annotations

__all__ = ["as_erlang"]

#: What the broker notes as who has done it, as rabbitmqctl has it.
_ACTOR = '<<"rmq-cli">>'


def as_erlang(*args: str) -> str | None:
    """Return the expression that does what the command does, and gives ok; None knows none."""
    match args:
        case ("add_user", user, password):
            return _call("rabbit_auth_backend_internal:add_user", user, password)
        case ("delete_user", user):
            return _call("rabbit_auth_backend_internal:delete_user", user)
        case ("set_permissions", "-p", host, user, configure, write, read):
            permissions = (user, host, configure, write, read)
            return _call("rabbit_auth_backend_internal:set_permissions", *permissions)
        case ("set_permissions", user, configure, write, read):
            return as_erlang("set_permissions", "-p", "/", user, configure, write, read)
        case ("set_user_tags", user, *tags):
            made = f"[{', '.join(tags)}]"
            return f"rabbit_auth_backend_internal:set_tags({_binary(user)}, {made}, {_ACTOR})"
        case ("add_vhost", host):
            return _call("rabbit_vhost:add", host)
        case ("delete_vhost", host):
            return _call("rabbit_vhost:delete", host)
        case ("set_vm_memory_high_watermark", fraction):
            return f"vm_memory_monitor:set_vm_memory_high_watermark({float(fraction):.12f})"
    return None


def _call(function: str, *values: str) -> str:
    return f"{function}({', '.join(map(_binary, values))}, {_ACTOR})"


def _binary(text: str) -> str:
    """Return the bytes of a text as Erlang writes them, whatever they are."""
    return f"<<{','.join(map(str, text.encode()))}>>"
