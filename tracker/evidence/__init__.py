"""Tamper evidence: the pure parts of an RFC 6962 Merkle tree over the log, in C2SP formats.

Nothing here reads a file, a socket, a clock or a database. ``leaf`` defines what is hashed, ``tree`` how hashes combine, ``tiles``
how they are stored, ``proofs`` what a verifier recomputes, ``note`` and ``checkpoint`` what is signed, ``tlog_proof`` the proof
file, and ``policy`` which signatures a verifier requires.

Specifications: RFC 6962 and RFC 9162 (trees and proofs), RFC 8785 (canonical JSON), and the C2SP documents signed-note, tlog-checkpoint,
tlog-cosignature, tlog-tiles, tlog-proof and tlog-policy (https://c2sp.org).
"""
