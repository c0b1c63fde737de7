"""Runs the benchmarks' commands as their users do."""

import asyncio
import os
import sys

import pytest

from ops.broker.installation import RabbitNotInstalledError, find_installation


def need_rabbitmq() -> None:
    """Skip without RabbitMQ; in CI that is a failure."""
    try:
        find_installation()
    except RabbitNotInstalledError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


async def output_of(module: str, *arguments: str) -> str:
    """What `python -m module` prints, when it has ended well; it ends with the test."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    text = out.decode()
    assert process.returncode == 0, text[-4000:]
    return text
