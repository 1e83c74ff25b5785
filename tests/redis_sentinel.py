"""A Redis Sentinel of a test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from evmcore.state.session import open_client
from tests.ports import free_port
from tests.redis_server import PROGRAM, RedisServer, need_redis
from tests.waiting import PATIENCE, eventually, until


class Sentinel:
    """One sentinel that watches a primary by the name of evm."""

    def __init__(self, folder: Path, primary: RedisServer, password: str = "", own_password: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._password = own_password
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor evm 127.0.0.1 {primary.port} 1",
            "sentinel down-after-milliseconds evm 600000",
            "sentinel failover-timeout evm 3000",
        ]
        if password:
            lines.append(f"sentinel auth-pass evm {password}")
        if own_password:
            lines.append(f"requirepass {own_password}")
        config = folder / "sentinel.conf"
        config.write_text("\n".join(lines) + "\n")
        self.log = open(folder / "sentinel.log", "wb")  # noqa: SIM115
        self.process = subprocess.Popen(
            [str(PROGRAM), str(config), "--sentinel"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )

    def hurry(self) -> None:
        """Makes the sentinel see soon that the primary was killed. Until then it waits long: on a busy machine a
        primary may be slow to answer."""
        with need_redis().Redis(port=self.port, password=self._password or None) as client:
            client.execute_command("SENTINEL", "SET", "evm", "down-after-milliseconds", "400")

    def __enter__(self) -> Sentinel:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self.log.close()


def wait_for_sentinel(url: str, replicas: int) -> None:
    """Waits until the sentinel at `url` knows so many replicas of its primary."""
    from redis.exceptions import RedisError

    with open_client(url) as client:

        def knows() -> bool:
            client.ping()
            manager: Any = client.connection_pool.sentinel_manager
            return bool(manager.sentinels[0].sentinel_masters()["evm"]["num-slaves"] >= replicas)

        until(lambda: eventually(knows, RedisError, OSError, KeyError), "the sentinel does not see the replicas")
