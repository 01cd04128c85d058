"""Look for a backdoor in a trained image classifier, repair it, judge it: from Python.

docs/python.md tells how. All is found when it is first used: importing this imports nothing, since
the scripts say what is wrong on their command lines at once.
"""

TYPE_CHECKING = False  # the one of typing, which is not imported for it
if TYPE_CHECKING:
    from goodnet.errors import Unsafe as Unsafe
    from goodnet.errors import Unusable as Unusable
    from goodnet.front.judged import judge as judge
    from goodnet.front.networks import goodnet as goodnet
    from goodnet.front.networks import load_network as load_network
    from goodnet.front.networks import save as save
    from goodnet.front.repairs import fine_prune as fine_prune
    from goodnet.front.repairs import prune as prune
    from goodnet.front.repairs import relearn as relearn
    from goodnet.front.repairs import unlearn as unlearn

    __version__: str

_PLACES = {
    "Unsafe": "goodnet.errors:Unsafe",
    "Unusable": "goodnet.errors:Unusable",
    "__version__": "goodnet.version:VERSION",
    "fine_prune": "goodnet.front.repairs:fine_prune",
    "goodnet": "goodnet.front.networks:goodnet",
    "judge": "goodnet.front.judged:judge",
    "load_network": "goodnet.front.networks:load_network",
    "prune": "goodnet.front.repairs:prune",
    "relearn": "goodnet.front.repairs:relearn",
    "save": "goodnet.front.networks:save",
    "unlearn": "goodnet.front.repairs:unlearn",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from goodnet.front.entrance import find

    found = globals()[name] = find(_PLACES[name])
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
