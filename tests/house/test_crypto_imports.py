"""Which cryptographic library may be used for what, read from the import statements."""

from __future__ import annotations

import ast
import functools

from tests.house.tree import Module, modules

#: The only thing taken from `cryptography`: PyNaCl has no ML-KEM. Ed25519 must not come from there, because OpenSSL and
#: libsodium disagree on which malformed signatures and keys to accept, and every implementation must refuse the same.
ML_KEM = "cryptography.hazmat.primitives.asymmetric.mlkem"

#: What the server's certificate authority on a local network is made with: TLS, outside the protocol.
CERTIFICATES = (
    "cryptography.x509",
    "cryptography.hazmat.primitives.hashes",
    "cryptography.hazmat.primitives.serialization",
)

#: What RFC 8291 is put together from: pushes to browsers, outside the protocol.
WEB_PUSH = (
    "cryptography.hazmat.primitives.ciphers.aead.AESGCM",
    "cryptography.hazmat.primitives.hashes",
    "cryptography.hazmat.primitives.kdf.hkdf.HKDF",
    "cryptography.hazmat.primitives.serialization",
)

#: Libraries that check ours in tests, and would hide a mistake if ours were built on them.
ORACLES = {"doubleratchet", "x3dh", "xeddsa"}

#: Sources of chance; `rapport.crypto` takes every random byte as an argument.
CHANCE = {"os.urandom", "secrets", "random", "nacl.utils", "nacl.public", "nacl.bindings.randombytes", "uuid"}

#: Methods of libraries that draw from the operating system unasked.
DRAWS = {"urandom", "randombytes", "token_bytes", "generate"}


@functools.cache
def imports(module: Module) -> set[str]:
    """Dotted names that a module imports; `from a.b import c` counts as `a.b.c`."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def importers(of: str) -> dict[str, set[str]]:
    """Module -> what it imports from the library `of`."""
    found = {module.name: {name for name in imports(module) if f"{name}.".startswith(f"{of}.")} for module in modules()}
    return {name: names for name, names in found.items() if names}


def test_only_ml_kem_comes_from_cryptography_and_into_one_module() -> None:
    users = importers("cryptography")
    made, pushes = users.pop("rapport_server.lan"), users.pop("rapport_server.adapters.web_push")
    elliptic = "cryptography.hazmat.primitives.asymmetric.ec"
    assert {name for name in pushes if not name.startswith(WEB_PUSH)} == {elliptic}
    assert {name for name in made if not name.startswith(CERTIFICATES)} == {elliptic}
    strangers = {name for names in users.values() for name in names if not f"{name}.".startswith(f"{ML_KEM}.")}
    assert strangers - {"cryptography.exceptions.InvalidKey"} == set()
    assert len(users) <= 1
    assert all(name.startswith("rapport.crypto.") for name in users)


def test_oracles_are_for_tests_only() -> None:
    assert {oracle: importers(oracle) for oracle in ORACLES if importers(oracle)} == {}


def test_the_cryptography_takes_chance_as_an_argument() -> None:
    crypto = [module for module in modules() if f"{module.name}.".startswith("rapport.crypto.")]
    taken = {
        (module.name, name)
        for module in crypto
        for name in imports(module)
        for source in CHANCE
        if f"{name}.".startswith(f"{source}.")
    }
    assert taken == set()
    drawn = {
        (module.name, node.attr)
        for module in crypto
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
    }
    assert {(name, call) for name, call in drawn if call in DRAWS} == set()
