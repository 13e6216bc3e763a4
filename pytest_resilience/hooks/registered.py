"""What all the objects have in common that are registered with pytest."""


class Registered:
    """An object with hooks, and nothing else that pytest has to find.

    pytest looks at each name that a plugin has twice, once for hooks and once for fixtures; most are those that every
    object has.
    """

    __slots__ = ()

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name.startswith("pytest_")]
