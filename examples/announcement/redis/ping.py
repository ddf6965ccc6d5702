"""Whether Redis answers: its health check."""

import os
import socket
import sys

with socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), timeout=2) as connection:
    connection.sendall(b"PING\r\n")
    sys.exit(connection.recv(100) != b"+PONG\r\n")
