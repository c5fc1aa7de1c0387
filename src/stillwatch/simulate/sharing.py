"""What members of a group share, and by which key."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stillwatch.simulate.chance import Ints, Keys, mix, unit
from stillwatch.simulate.spec import Population, Sharing


def _sharing(population: Population, what: str) -> Sharing:
    c = population.campaign
    if c is None:
        return population.shared.get(what, Sharing())
    known = {
        "payment": Sharing(c.payment_share, c.accounts_per_payment),
        "network": Sharing(c.subnet_share, c.subnet_size),
        "signup": Sharing(c.signup_share, c.signup_size),
        "client": Sharing(1 - c.own_client, 0),
        "device": Sharing(c.device_share, 5),
        "phone": Sharing(c.device_share, 3),
    }
    return population.shared.get(what, known.get(what, Sharing()))


def shared_key(
    population: Population, what: str, key: Keys, group: Keys, member: Ints, behind: NDArray[np.bool_] | None = None
) -> tuple[Keys, NDArray[np.bool_]]:
    """Return the key each account draws an attribute from, and whether it shares it with others of its cluster.

    ``member`` is the number in the group, from which clusters are cut; ``behind`` marks accounts that share with the
    whole group whatever the cluster size.

    >>> flat = Population("p", "", "", shared={"payment": Sharing(1.0, 0)})
    >>> keys, inside = shared_key(flat, "payment", mix(np.arange(3)), mix(np.zeros(3, int)), np.arange(3))
    >>> len(set(keys.tolist())), inside.tolist()
    (1, [True, True, True])
    """
    sharing = _sharing(population, what)
    inside = unit(mix(key, what, "shares")) < sharing.share
    cluster = member // max(1, round(sharing.size)) if sharing.size else np.zeros_like(member)
    if behind is not None:
        cluster = np.where(behind, 0, cluster)
    return np.where(inside, mix(group, cluster, what), mix(key, what)), inside
