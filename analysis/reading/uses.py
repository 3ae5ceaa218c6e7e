"""What a fit stands on: the network of the suite, the method and the sampler by name, so that they can be cited."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from ...models.theories.sources import known_uses, network_of

__all__ = ["uses_of"]


def uses_of(provenance: Mapping[str, Any]) -> list[str]:
    """What a fit used, by the attributes of its tree: its network if it is one of the suite, method and sampler.

    Example:
        >>> uses_of({"study": "net = 'erf'", "action": "Bilocal", "method": "score", "sampler": "nuts"})
        ['erf', 'action', 'score', 'nuts']
    """
    known = known_uses()
    model = json.loads(str(provenance.get("recipe", "{}"))).get("model") or {}
    neuron = (model.get("options") or {}).get("neuron")
    kind = neuron.get("class") if isinstance(neuron, dict) else None
    net = tomllib.loads(str(provenance.get("study", ""))).get("net", network_of(kind))
    words = [str(provenance.get(word, default)) for word, default in (("method", "score"), ("sampler", "nuts"))]
    fitted = ["action", *words] if "action" in provenance else []
    return [name for name in (net, *fitted) if name in known]
