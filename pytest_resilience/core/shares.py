"""A limit as people write it: a number of tests, a share of them, or none."""

Share = int | str


def rounded_up(share: Share, total: int) -> int | None:
    """What 40, "5%" or "none" comes to when there are `total` tests; None for no limit."""
    if share == "none":
        return None
    part, whole = _ratio(share, total)
    return -(-part // whole)


def exceeds(count: int, share: Share, total: int) -> bool:
    """Whether `count` of `total` tests are more than the limit, not rounded."""
    if share == "none":
        return False
    part, whole = _ratio(share, total)
    return count * whole > part


def shown(share: Share, total: int) -> str:
    """The limit as a message shows it: ``40``, or ``5% of 500``."""
    return f"{share} of {total}" if isinstance(share, str) else f"{share}"


def _ratio(share: Share, total: int) -> tuple[int, int]:
    # Whole numbers, because 7% of 100 is 7.000000000000001 otherwise.
    if isinstance(share, int):
        return share, 1
    digits, _, decimals = share.removesuffix("%").partition(".")
    return int(digits + decimals) * total, 100 * 10 ** len(decimals)
