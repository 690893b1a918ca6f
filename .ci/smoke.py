"""What must hold for someone who installed the wheel and nothing else."""

import sys
import time
from importlib import metadata, resources

began = time.perf_counter()
import pamiq_async  # noqa: E402

seconds = time.perf_counter() - began

heavy = {"gymnasium", "jax", "numpy", "rich", "safetensors", "torch"} & set(sys.modules)
assert not heavy, f"importing pamiq_async imports {heavy}"
assert "site-packages" in pamiq_async.__file__, f"imported from {pamiq_async.__file__}"
assert resources.files("pamiq_async").joinpath("py.typed").is_file(), "py.typed is missing"
missing = [name for name in pamiq_async.__all__ if not hasattr(pamiq_async, name)]
assert not missing, f"__all__ names what is not there: {missing}"

print(f"pamiq_async {metadata.version('pamiq-async')} imported in {seconds:.2f} s")
