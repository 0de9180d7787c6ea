"""Run in a pod: keeps the API busy, so that its CPU says something.

`python -c PROGRAM SECONDS` asks for the status of an event, on four connections at once, until the
file /tmp/enough is there or the time is over; prints how many answers there were.
"""

import http.client
import os
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 4
ENOUGH = Path("/tmp/enough")

deadline = time.monotonic() + float(sys.argv[1])
host = urlsplit(os.environ["EVENTSTREAM_URL"]).netloc
answers = [0] * CONNECTIONS


def ask(number: int) -> None:
    connection = http.client.HTTPConnection(host, timeout=30)
    while time.monotonic() < deadline and not ENOUGH.exists():
        connection.request("GET", "/task/nobody-sent-this")
        connection.getresponse().read()
        answers[number] += 1


threads = [threading.Thread(target=ask, args=(number,)) for number in range(CONNECTIONS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(answers))
