"""A visit with Python's http.client: what it saw, as JSON, and files `got-*` with what it got.

usage: client.py OWN-ADDRESS ADDRESS NAME
"""

import gzip
import http.client
import json
import sys

own, address, name = sys.argv[1:]
connection = http.client.HTTPConnection(address, 80, timeout=60, source_address=(own, 0))
seen = []


def ask(method, path, **more):
    connection.request(method, path, **more)
    response = connection.getresponse()
    content = response.read()
    seen.append([method, path, response.status, response.headers["X-Peer"]])
    return response, content


def keep(what, content):
    with open(f"got-{what}", "wb") as file:
        file.write(content)


keep("index", ask("GET", "/index.html")[1])
port = connection.sock.getsockname()[1]
keep("big", ask("GET", "/big")[1])
keep("range", ask("GET", "/big", headers={"Range": "bytes=1000-1999"})[1])
response, content = ask("GET", "/gzip.txt", headers={"Accept-Encoding": "gzip"})
assert response.headers["Content-Encoding"] == "gzip", response.headers
keep("text", gzip.decompress(content))
response, content = ask("HEAD", "/big")
assert content == b"" and int(response.headers["Content-Length"]) > 1 << 20, response.headers

with open("upload", "rb") as file:
    upload = file.read()
ask("PUT", f"/up/{name}-length", body=upload)
pieces = (upload[at : at + 50_000] for at in range(0, len(upload), 50_000))
ask("PUT", f"/up/{name}-chunks", body=pieces, encode_chunked=True)
for _ in range(100):
    ask("GET", "/index.html")
ask("GET", "/none")

print(json.dumps({"port": port, "seen": seen}))
