"""A visit over WebSocket; prints the port it had, and whom the server saw.

usage: websocket_client.py OWN-ADDRESS URL
"""

import asyncio
import os
import sys

import websockets

own, url = sys.argv[1:]


async def main():
    async with websockets.connect(url, local_addr=(own, 0), max_size=None) as socket:
        peer = await socket.recv()
        assert socket.extensions, "permessage-deflate was agreed upon"
        for message in ["", "text \u00e4\u20ac", b"", b"\0\xff", os.urandom(1 << 20), "x" * 100_000]:
            await socket.send(message)
            assert await socket.recv() == message
        # One message in many frames, and controls in between.
        pieces = [os.urandom(1000) for _ in range(50)]
        await socket.send(pieces)
        assert await socket.recv() == b"".join(pieces)
        await asyncio.wait_for(await socket.ping(), 20)
        for number in range(500):
            await socket.send(str(number))
        for number in range(500):
            assert await socket.recv() == str(number)
        port = socket.local_address[1]
        await socket.close(4321, "bye")
        # The server's answer to the close, which has come the whole way.
        assert (socket.close_code, socket.close_reason) == (4321, "bye")
    print(port, peer)


asyncio.run(main())
