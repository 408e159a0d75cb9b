"""Administration on the machine itself: accounts, images, hosts and audit, over a unix socket.

One JSON object a line. A client sends one request, ``{"command", "arguments"}``, and reads any
number of ``{"progress": [fraction, words]}``, then ``{"result"}`` or ``{"error", "code"}``, code
being the WBEM status. Only root and the account of the service are served, no password is
needed. Work goes on when its client goes away: who waits for an image may have asked twice.
"""

SOCKET = "admin.sock"
"""Its name in the state directory."""
