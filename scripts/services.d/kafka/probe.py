"""probe.py HOST:PORT [USER PASSWORD CA]: exits with 0 if a Kafka broker answers a metadata request and lists itself.

With USER, PASSWORD and CA the request uses TLS and SASL/SCRAM-SHA-512 (RFC 5802, RFC 7677), as a client's would.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import sys

METADATA, SASL_HANDSHAKE, SASL_AUTHENTICATE = 3, 17, 36


class Broker:
    def __init__(self, address, ca):
        host, port = address.rsplit(":", 1)
        self.wire = socket.create_connection((host, int(port)), timeout=5)
        if ca:
            self.wire = ssl.create_default_context(cafile=ca).wrap_socket(self.wire, server_hostname=host)

    def ask(self, api, version, body):
        client = b"services-probe"
        request = struct.pack(">hhih", api, version, 1, len(client)) + client + body
        self.wire.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", self.read(4))
        return self.read(length)[4:]

    def read(self, count):
        parts = b""
        while len(parts) < count:
            part = self.wire.recv(count - len(parts))
            if not part:
                raise ConnectionError("the broker closed the connection")
            parts += part
        return parts

    def log_in(self, user, password):
        mechanism = b"SCRAM-SHA-512"
        answer = self.ask(SASL_HANDSHAKE, 1, struct.pack(">h", len(mechanism)) + mechanism)
        refuse_error(answer, "handshake")
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n={user},r={nonce}"
        server_first = self.exchange(f"n,,{first}")
        fields = dict(field.split("=", 1) for field in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        last = f"c=biws,r={fields['r']}"
        signed = f"{first},{server_first},{last}".encode()
        client_key = hmac.digest(salted, b"Client Key", "sha512")
        signature = hmac.digest(hashlib.sha512(client_key).digest(), signed, "sha512")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        verdict = self.exchange(f"{last},p={base64.b64encode(proof).decode()}")
        server_key = hmac.digest(salted, b"Server Key", "sha512")
        expected = base64.b64encode(hmac.digest(server_key, signed, "sha512")).decode()
        if verdict != f"v={expected}":
            raise ConnectionError(f"the broker did not prove that it knows the password: {verdict}")

    def exchange(self, message):
        token = message.encode()
        answer = self.ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        refuse_error(answer, "authentication")
        (message_length,) = struct.unpack_from(">h", answer, 2)
        (length,) = struct.unpack_from(">i", answer, 4 + max(message_length, 0))
        start = 8 + max(message_length, 0)
        return answer[start : start + length].decode()

    def brokers(self):
        """Returns the number of brokers that the cluster reports (Metadata version 4; requests and creates no topics)."""
        answer = self.ask(METADATA, 4, struct.pack(">ib", 0, 0))
        throttle_ms, brokers = struct.unpack_from(">ii", answer)
        return brokers


def refuse_error(answer, step):
    (code,) = struct.unpack_from(">h", answer)
    if code:
        raise ConnectionError(f"{step} refused with Kafka's error {code}")


def main():
    address, user, password, ca = (sys.argv[1:] + [None] * 3)[:4]
    broker = Broker(address, ca)
    if user:
        broker.log_in(user, password)
    if broker.brokers() < 1:
        raise ConnectionError("the cluster has no broker yet")


try:
    main()
except (OSError, struct.error, KeyError, ValueError) as error:
    sys.exit(f"{sys.argv[1]}: {error}")
