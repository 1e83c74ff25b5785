"""Exit codes of `t8n`: those of geth's `evm t8n`."""

from __future__ import annotations

from typing import Final

EVM_ERROR: Final = 2
CONFIG_ERROR: Final = 3
JSON_ERROR: Final = 10
IO_ERROR: Final = 11
RLP_ERROR: Final = 12
