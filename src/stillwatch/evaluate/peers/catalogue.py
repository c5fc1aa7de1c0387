"""Every peer by name: at its shipped default, and tuned (``NAME-tuned``) over the choices listed here."""

from __future__ import annotations

from dataclasses import replace

from stillwatch.evaluate.peers.copycatch import CopyCatch
from stillwatch.evaluate.peers.fraudar import Fraudar
from stillwatch.evaluate.peers.indicators import SharedIndicators
from stillwatch.evaluate.peers.learned import Boosting, Isolation
from stillwatch.evaluate.peers.mmd import MmdWindows
from stillwatch.evaluate.peers.packages import CoSimilarity, Honeypot, Splink
from stillwatch.evaluate.peers.peer import Peer
from stillwatch.evaluate.peers.similarity import SimilarityNetwork
from stillwatch.evaluate.peers.synchrotrap import SynchroTrap
from stillwatch.evaluate.peers.thresholds import Uniqueness, Volume, WeightedSum

_CONTENT = ("head", "system", "tools")
_IDENTITY = ("payment_hash", "device_hash", "phone_hash", "payment_bin", "email_domain", "ip", "ip_prefix")

_DEFAULTS = (
    # packages, in an environment of their own
    Peer("toolkit-60s", (CoSimilarity(60), CoSimilarity(60, 0.5), CoSimilarity(60, 0.3)), cut=2),
    Peer("toolkit-600s", (CoSimilarity(600), CoSimilarity(600, 0.5), CoSimilarity(600, 0.3)), cut=2),
    Peer("honeypotllm", (Honeypot(), Honeypot("mean"), Honeypot("last")), cut=0.75, least=1),
    Peer("splink", (Splink(),), cut=0.9),
    # written small from papers
    Peer("fraudar", (Fraudar(), Fraudar(families=_CONTENT), Fraudar(families=_IDENTITY)), cut=1.0),
    Peer(
        "copycatch",
        (CopyCatch(), *(CopyCatch(hours, things=n) for hours in (1.0, 24.0) for n in (2, 4)), CopyCatch(things=2)),
        cut=10,
        least=10,
    ),
    Peer("synchrotrap", (SynchroTrap(), SynchroTrap(hours=6.0), SynchroTrap(days=1)), cut=0.5),
    Peer(
        "mmd-windows",
        (MmdWindows(), MmdWindows(nearer=True), MmdWindows(window=16), MmdWindows(16, nearer=True)),
        cut=1.0,
        least=1,
    ),
    Peer("tfidf-network", (SimilarityNetwork(), SimilarityNetwork(families=_CONTENT)), cut=0.995),
    # what a team would build first
    Peer("isolation-forest", (Isolation(),), cut=0.5, least=1),
    Peer("boosting", (Boosting(),), cut=0.5, least=1),
    Peer("volume", (Volume(), Volume("peak day")), cut=100, least=1),
    Peer("uniqueness", tuple(Uniqueness(queries) for queries in (100, 10, 30, 300)), cut=0.9, least=1),
    Peer("weighted-sum", (WeightedSum(), WeightedSum(ranked=True)), cut=0.35, least=1),
    Peer(
        "shared-indicators",
        (
            SharedIndicators(),
            SharedIndicators(("payment_hash", "device_hash")),
            SharedIndicators(("payment_hash", "ip_prefix")),
        ),
        cut=1 / 50,
    ),
)

PEERS: dict[str, Peer] = {
    one.name: one for peer in _DEFAULTS for one in (peer, replace(peer, name=f"{peer.name}-tuned", tunes=True))
}
"""Name -> peer. A peer of a package says in its error how to install it when it is first run."""
