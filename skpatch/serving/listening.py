# SPDX-License-Identifier: BSD-3-Clause
"""The address at which a server listens."""

import ipaddress
import socket

__all__ = ["is_local", "listen"]


def is_local(host):
    """Whether only this computer reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host, port, backlog):
    """Socket at an address; taken before the models are loaded, so that errors come at once."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=kind, backlog=backlog)
    except OSError as error:
        raise ValueError(
            f"{host}, port {port}, cannot be listened at: {error.strerror or error}. Give another "
            "--port or --host."
        ) from error
