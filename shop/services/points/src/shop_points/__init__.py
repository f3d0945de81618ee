"""points: loyalty points for confirmed orders, once each.

Choreography, the service's side of it: nobody calls it and nobody waits for it. It is pushed `order.confirmed.v1`, takes what
it needs from the event alone, and writes points, balance and the inbox's row in one transaction. While it is down, orders go
on; when it is back, it is told what it missed.

What must hold
- An order's points are given once, whatever is delivered twice: by the inbox for the same event, and by the award's key for
  another event of the same order.
- A 2xx is answered after the commit is on disk.
- Nothing but the event decides: no other service is asked.

Starlette rather than FastAPI: the contract is a file that is written first (`openapi.yaml`) and three handlers need no second
one generated from types. Every dependency is pure Python, so the build needs no compiler anywhere.

Tests: `tests/`, most of them against the running program.
"""
