"""probe.py HOST:PORT: exits with 0 if a server with the MongoDB protocol answers `listDatabases`, which reads its storage.

The probe sends and receives one OP_MSG (MongoDB wire protocol), with the little BSON that this needs.
"""

import socket
import struct
import sys

OP_MSG = 2013


def ask(address):
    host, port = address.rsplit(":", 1)
    elements = b"\x10listDatabases\x00" + struct.pack("<i", 1) + b"\x02$db\x00" + struct.pack("<i", 6) + b"admin\x00"
    document = struct.pack("<i", len(elements) + 5) + elements + b"\x00"
    body = struct.pack("<ib", 0, 0) + document
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
        stream = wire.makefile("rb")
        length, _, _, operation = struct.unpack("<iiii", stream.read(16))
        return operation, stream.read(length - 16)


try:
    operation, answer = ask(sys.argv[1])
    if operation != OP_MSG or b"\x01ok\x00" + struct.pack("<d", 1) not in answer:
        sys.exit(f"{sys.argv[1]}: the server answered, but not with ok: {answer!r}")
except (OSError, struct.error) as error:
    sys.exit(f"{sys.argv[1]}: {error}")
