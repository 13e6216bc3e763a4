"""A very small web shop: what the example tests are about, with a warehouse that is down."""

import os
import signal
import socket
from decimal import Decimal

PRICES = {"pen": Decimal("1.50"), "notebook": Decimal("4.00"), "backpack": Decimal("39.90")}


def total(cart: dict[str, int]) -> Decimal:
    """What the cart costs; from 100.00 on, 10 % less."""
    amount = sum((PRICES[article] * count for article, count in cart.items()), Decimal(0))
    return amount if amount < 100 else amount * Decimal("0.90")


def label(article: str, count: int) -> str:
    """What is printed on the parcel."""
    return f"{count} x {article}" if count != 1 else article


def price_tag(amount: Decimal, currency: str = "EUR") -> str:
    """The amount as customers read it."""
    return f"{amount:,.2f} {currency}"


class RateService:
    """Today's exchange rates, from a service that has to wake up: its first two requests time out."""

    def __init__(self) -> None:
        self._requests = 0

    def rate(self, currency: str) -> Decimal:
        self._requests += 1
        if self._requests <= 2:
            raise TimeoutError("the rate service did not answer in time")
        return {"EUR": Decimal("1.00"), "USD": Decimal("1.10"), "CHF": Decimal("0.95")}[currency]


class Warehouse:
    """A connection to the warehouse. Nobody listens at its address; WAREHOUSE=up stands for having started it."""

    address = ("127.0.0.1", 9)

    def __init__(self) -> None:
        if os.environ.get("WAREHOUSE") != "up":
            socket.create_connection(self.address, timeout=5).close()

    def reserve(self, article: str) -> str:
        return f"{article} is reserved"


def export(orders: list[str]) -> int:
    """Hand all orders to the warehouse at once.

    While the warehouse is away they pile up in memory, until the kernel has enough and ends the process.
    """
    try:
        warehouse = Warehouse()
    except ConnectionRefusedError:
        os.kill(os.getpid(), signal.SIGKILL)
    return len([warehouse.reserve(article) for article in orders])
