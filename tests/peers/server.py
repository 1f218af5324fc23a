"""A site on Python's http.server: files with ranges, gzip, and uploads.

usage: server.py ROOT ADDRESS...
"""

import gzip
import http.server
import os
import re
import socket
import socketserver
import sys
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_PUT(self):
        name = os.path.basename(self.path)
        with open(os.path.join(self.directory, "up", name), "wb") as file:
            for piece in self.body():
                file.write(piece)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        """The request's content in pieces; http.server leaves the framing to us."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        zipped = self.path == "/gzip.txt" and "gzip" in self.headers.get("Accept-Encoding", "")
        if not wanted and not zipped:
            return super().do_GET()
        with open(self.translate_path(self.path), "rb") as file:
            content = file.read()
        if zipped:
            content = gzip.compress(content)
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
        else:
            first, whole = int(wanted[1]), len(content)
            last = int(wanted[2] or whole - 1)
            content = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self):
        self.send_header("X-Peer", f"{self.client_address[0]} {self.client_address[1]}")
        super().end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, address):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 80), lambda *a: Handler(*a, directory=sys.argv[1]))

    def server_bind(self):
        # HTTPServer's would ask the DNS for a name, which nobody here can tell.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "lab", 80


servers = [Server(address) for address in sys.argv[2:]]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
