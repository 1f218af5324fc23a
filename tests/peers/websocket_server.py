"""Echoes over WebSocket, after a word about whom it sees.

usage: websocket_server.py PORT ADDRESS...
"""

import asyncio
import sys

import websockets


async def serve(socket, _path=None):
    peer = socket.remote_address
    await socket.send(f"{peer[0]} {peer[1]}")
    async for message in socket:
        await socket.send(message)


async def main():
    await websockets.serve(serve, sys.argv[2:], int(sys.argv[1]), max_size=None)
    await asyncio.Future()


asyncio.run(main())
