"""Killed again and again while Ondol pushes: every order has its points, once."""

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from service import PATIENCE, Service

ORDERS = 150
CUSTOMERS = 7
KILLS = 4

#: As many keys as Ondol pushes at once when the manifest says nothing.
PARALLEL = 16


def total(order: int) -> int:
    return 100 + 37 * order


def deliver(service: Service, order: int) -> None:
    """Pushes until it is told 2xx, as a subscription does."""
    ends = time.monotonic() + PATIENCE
    data = {"customer": f"u{order % CUSTOMERS}", "total": total(order), "currency": "EUR"}
    while time.monotonic() < ends:
        try:
            assert service.push(f"e{order}", str(order), data).status == 204
        except OSError:
            time.sleep(0.01)  # It is dead, and somebody is starting it.
        else:
            return
    raise AssertionError("it was never taken")


def test_every_order_has_its_points_once_whatever_is_killed(service: Service) -> None:
    dice = random.Random(20261121)
    orders = [*range(ORDERS), *dice.sample(range(ORDERS), ORDERS // 4)]  # a quarter of them twice
    dice.shuffle(orders)
    with ThreadPoolExecutor(PARALLEL) as senders:
        delivered = [senders.submit(deliver, service, order) for order in orders]
        for kill in range(1, KILLS + 1):
            wait_for(service, kill * ORDERS // (KILLS + 2))
            service.stop(signal.SIGKILL)
            service.start()
        for one in delivered:
            one.result()
    points = [total(order) // 100 for order in range(ORDERS)]
    sums = {"points": sum(points), "balances": sum(points), "total": sum(map(total, range(ORDERS)))}
    assert service.totals() == {"orders": ORDERS, **sums}
    for customer in range(CUSTOMERS):
        assert service.balance(f"u{customer}") == sum(points[customer::CUSTOMERS])


def wait_for(service: Service, orders: int) -> None:
    """Until so many orders have their points."""
    ends = time.monotonic() + PATIENCE
    while service.totals()["orders"] < orders:
        assert time.monotonic() < ends
        time.sleep(0.005)
