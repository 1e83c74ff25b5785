"""`serve` over TLS of its own: calls, several workers; and files that do not fit are an error before it starts."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

import pytest

from tests.commands import assert_one_line, run_command
from tests.redis_tls import certificate
from tests.rpc_server import Client
from tests.serve_command import served
from tests.service_chain import GENESIS, GETTER
from tests.waiting import PATIENCE

CALL = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": "0x" + GETTER.hex()}, "latest"]}


@pytest.fixture
def genesis(tmp_path: Path) -> str:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(GENESIS))
    return str(path)


class SecureClient(Client):
    """A client that trusts one certificate."""

    def __init__(self, port: int, cert: Path) -> None:
        super().__init__(port)
        context = ssl.create_default_context(cafile=str(cert))
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE, context=context)


def chain_id(port: int, cert: Path) -> object:
    client = SecureClient(port, cert)
    try:
        return client.call("eth_chainId")
    finally:
        client.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_calls_are_answered_over_tls(genesis: str, tmp_path: Path, workers: str) -> None:
    cert, key = certificate(tmp_path / "tls")
    words = ["--genesis", genesis, "--workers", workers, "--tls-cert", str(cert), "--tls-key", str(key)]
    with served(*words, scheme="https") as (plain, _):
        for _ in range(5):
            client = SecureClient(plain.port, cert)
            for _ in range(3):
                assert int(client.answer(CALL)["result"], 16) == 42
            batch = client.answer([{**CALL, "id": number} for number in range(100)])
            assert [int(answer["result"], 16) for answer in batch] == [42] * 100
            assert client.get("/readyz")[0] == 200
            assert client.post(b"x" * (6 << 20))[0] == 413  # more than is read: the client sees the answer all the same
            client.close()
        with pytest.raises((OSError, http.client.HTTPException)):
            plain.call("eth_chainId")
        with pytest.raises(ssl.SSLError):
            chain_id(plain.port, certificate(tmp_path / "other")[0])
        assert chain_id(plain.port, cert) == "0x539"


def test_files_that_do_not_fit_are_an_error_at_once(
    genesis: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = certificate(tmp_path / "tls")
    other = certificate(tmp_path / "other")[1]
    from cryptography.hazmat.primitives import serialization

    locked = tmp_path / "locked.pem"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    for words, message in (
        (["--tls-cert", str(cert)], "TLS needs both --tls-cert FILE and --tls-key FILE"),
        (["--tls-key", str(key)], "TLS needs both --tls-cert FILE and --tls-key FILE"),
        (["--tls-cert", str(tmp_path / "none"), "--tls-key", str(key)], "none: No such file or directory"),
        (["--tls-cert", str(cert), "--tls-key", str(tmp_path)], f"{tmp_path}: Is a directory"),
        (["--tls-cert", str(nothing), "--tls-key", str(key)], "no certificate and private key in PEM form"),
        (["--tls-cert", str(cert), "--tls-key", str(nothing)], "no certificate and private key in PEM form"),
        (["--tls-cert", str(cert), "--tls-key", str(other)], "not the private key of the certificate in"),
        (["--tls-cert", str(cert), "--tls-key", str(locked)], "locked.pem: the private key is encrypted"),
    ):
        code, out, err = run_command(capsys, "serve", "--port", "0", "--workers", "2", "--genesis", genesis, *words)
        assert (code, out) == (2, "")
        assert message in err
        assert_one_line(err)
