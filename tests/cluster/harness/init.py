"""Process 1 of a cluster's namespaces; run by `namespace`, never imported.

It prepares the namespaces (each command of the JSON list in its first argument must succeed),
says "ready", and from then on only reaps orphans. When it ends the kernel ends every process
of the cluster with it, whatever state they are in. It ends when its standard input does, which
happens when the process that made it is gone in whatever way; with `--stay` it stays.
"""

import json
import os
import signal
import subprocess
import sys
import threading


def end_with_the_owner() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    for argv in json.loads(sys.argv[1]):
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    if "--stay" not in sys.argv:
        threading.Thread(target=end_with_the_owner, daemon=True).start()
    print("ready", flush=True)
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


main()
