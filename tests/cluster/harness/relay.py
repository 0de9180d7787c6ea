"""Hands on TCP connections: accepted outside the cluster's network, made anew inside it.

Run by `cluster` as `relay.py LISTENING_FD HOST PORT`, never imported. A socket keeps the network
that it was made in, so this process can stay inside while the socket that it was given listens
on the machine's 127.0.0.1. A refused connection inside becomes a reset outside.
"""

import asyncio
import socket
import struct
import sys

_CHUNK_BYTES = 1 << 18
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger on, for 0 s


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def serve(listening: socket.socket, host: str, port: int) -> None:
    # A task that waits for a stream is known to that stream alone, which nothing else holds:
    # without this the garbage collector ends connections in use.
    connections: set[asyncio.Task[None] | None] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        writers = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
            writers.append(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(pump(reader, far_writer))
                both.create_task(pump(far_reader, writer))
        except* OSError:
            near = writer.get_extra_info("socket")
            if near.fileno() >= 0:  # still open: the other side is the one that broke
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        finally:
            for side in writers:
                side.close()
            connections.discard(asyncio.current_task())

    async with await asyncio.start_server(accepted, sock=listening) as server:
        await server.serve_forever()


asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3])))
