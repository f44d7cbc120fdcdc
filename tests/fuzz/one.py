"""Fuzzes one target in this process: `python -m tests.fuzz.one TARGET CORPUS... [options of libFuzzer]`."""

import sys
import time

import atheris

with atheris.instrument_imports(include=["chalicelib", "infra"]):
    from tests.fuzz import targets


def main() -> None:
    name, *options = sys.argv[1:]
    target = targets.TARGETS[name]

    def run(data: bytes) -> None:
        start = time.process_time()
        targets.run(name, data)
        seconds = time.process_time() - start
        if seconds > target.cpu_seconds:
            raise TimeoutError(f"{seconds:.1f} s of CPU for {len(data)} bytes")

    targets.app()  # not counted as the time of the first input
    atheris.Setup([sys.argv[0], f"-max_len={target.max_bytes}", *options], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
