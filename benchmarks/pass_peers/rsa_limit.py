"""The limit: one RSA-2048 signature per pass, and nothing else."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from benchmarks.pass_peers.job import PassJob


def main() -> None:
    job = PassJob.read()
    key = load_pem_private_key(Path(job.private_key).read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    padding, algorithm, attributes = PKCS1v15(), SHA256(), b"a" * 200
    job.run(lambda _serial_number, _gate: key.sign(attributes, padding, algorithm))


if __name__ == "__main__":
    main()
