"""``python -m pamiq_async.console`` is `pamiq-async`."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
