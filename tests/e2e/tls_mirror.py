"""tls_mirror.py CERTIFICATE KEY NAME:PASSWORD FOLDER=UPSTREAM…: prints its port, and serves upstreams over TLS to who knows the password."""

import base64
import http.server
import ssl
import sys
import urllib.error
import urllib.request

certificate, key, login = sys.argv[1:4]
upstreams = dict(pair.split("=", 1) for pair in sys.argv[4:])
expected = "Basic " + base64.b64encode(login.encode()).decode()


class Mirror(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Authorization") != expected:
            self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="mirror"'})
            return
        folder, _, path = self.path.lstrip("/").partition("/")
        try:
            with urllib.request.urlopen(f"{upstreams[folder]}/{path}", timeout=60) as upstream:
                self.answer(200, upstream.read(), {})
        except urllib.error.HTTPError as error:
            self.answer(error.code, b"", {})

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
