"""Stands in for Neutron: a cloud without networks, of which Nova asks only what there is."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": "http://127.0.0.1:9696/v2.0/"}]}


class Neutron(BaseHTTPRequestHandler):
    """Answers each list with nothing, and all else as not found."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = [part for part in self.path.partition("?")[0].removesuffix(".json").split("/") if part]
        if not path:
            self.say(200, {"versions": [VERSION]})
        elif path == ["v2.0"]:
            self.say(200, {"resources": []})
        elif len(path) == 2:
            self.say(200, {path[1].replace("-", "_"): []})
        else:
            self.refuse()

    def refuse(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        words = f"this stub of Neutron has nothing at {self.command} {self.path}"
        self.say(404, {"NeutronError": {"type": "NotFound", "message": words, "detail": ""}})

    do_POST = do_PUT = do_DELETE = refuse

    def say(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", 9696), Neutron).serve_forever()
