"""A member in a process of its own, to be killed or paused: it beats and writes until it may not.

python member_process.py URL ID        says "joined"; ends with 75 once it is fenced
"""

from __future__ import annotations

import os
import sys
import threading
import time

from openrdms.adapters import sql
from openrdms.model import errors


def main() -> None:
    url, me = sys.argv[1:]
    store, members = sql.open_shared_store(url, me, lambda why: os._exit(75))
    members.join("other.example", "", "1")

    def beat() -> None:
        while True:
            try:
                members.beat()
            except errors.RecordsUnavailable as error:
                print(error, file=sys.stderr, flush=True)
            time.sleep(0.2)

    threading.Thread(target=beat, daemon=True).start()
    print("joined", flush=True)
    for number in range(1_000_000):
        try:
            store.change_setting("written", str(number))
        except errors.RecordsUnavailable:
            time.sleep(0.05)


if __name__ == "__main__":
    main()
