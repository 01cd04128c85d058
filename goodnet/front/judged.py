"""Judging, called from a notebook: it gives what eval.py and Geval.py print from."""

from collections.abc import Iterable

from goodnet.cli.libraries import our_settings
from goodnet.front.images import Given, Images, opened
from goodnet.front.networks import Network, take
from goodnet.front.options import ClassNames, KeyNames, limits_of, reading_of, scaling_of
from goodnet.front.telling import Tell, progress_of, warn
from goodnet.judging.judging import Judged, check_alike, fit_to_judge, judge_loaded
from goodnet.memory import BATCH_SIZE
from goodnet.networks.demands import fit_batch
from goodnet.progress import Silence


@our_settings()
def judge(
    model: Network,
    clean: Images,
    backdoored: Images,
    repaired: Network | Iterable[Network] = (),
    *,
    pixels: str | None = None,
    scale: float | None = None,
    keys: KeyNames | None = None,
    classes: ClassNames | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Tell | None = None,
) -> Judged:
    """Judge B, or a goodnet; and each B' of `repaired`, by itself and with B as a goodnet.

    clean, backdoored: (images, labels), a tf.data.Dataset of such pairs, or the path of an image
    set; the backdoored images' labels are the attacker's target. The others as the options of
    eval.py. `.networks` has B first, each with the counts of images `itself` and `goodnet`, and
    their percentages. Raises Unusable or Unsafe where something cannot be used.
    """
    others = [repaired]
    if isinstance(repaired, Iterable) and not isinstance(repaired, str):
        others = list(repaired)
    loaded = [take(each) for each in (model, *others)]
    check_alike(loaded)
    fit = fit_to_judge(loaded[0].model, scaling_of(pixels, scale))
    limits = limits_of(batch_size)
    given = Given(clean, None, "clean"), Given(backdoored, None, "backdoored", backdoored=True)
    with opened(fit, reading_of(keys, classes), *given) as (clean_set, backdoored_set):
        fitting = fit_batch(loaded, [clean_set.shape, backdoored_set.shape], limits)
        reporter = Silence(progress=progress_of(progress))
        judged = judge_loaded(loaded, clean_set, backdoored_set, fitting, reporter)
    warn(judged.hint)
    return judged
