"""Every attack there is: one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from copycatch.redteam.attacks import (
    activethief,
    data_free,
    jacobian,
    knockoff,
    language,
    random_inputs,
    toolbox,
    tramer,
)
from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.inputs import InputKind
from copycatch.redteam.oracle import Oracle

TEXT: tuple[InputKind, ...] = ("text",)
NUMERIC: tuple[InputKind, ...] = ("image", "tabular")
ANY: tuple[InputKind, ...] = ("image", "tabular", "text")


@dataclass(frozen=True)
class AttackKind:
    """One row of the table of attacks.

    Attributes
    ----------
    run : callable
        Asks the oracle until its budget is gone.
    kinds : tuple of str
        Kinds of input that the attack knows how to make.
    is_label_only : bool
        The thief trains on labels and throws the probabilities away.
    is_on_logits : bool
        Needs logit bias and top log-probabilities: a language model's endpoint.
    needs : str or None
        A module of an optional extra that must be there before the campaign begins.
    """

    run: Callable[[Oracle, Thief], None]
    kinds: tuple[InputKind, ...]
    description: str
    is_label_only: bool = False
    is_on_logits: bool = False
    needs: str | None = None


ATTACKS: dict[str, AttackKind] = {
    "uniform": AttackKind(random_inputs.uniform, ANY, "uniformly random inputs"),
    "indomain_random": AttackKind(
        random_inputs.indomain_random, ANY, "the victim's own distribution; looks like use"
    ),
    "tramer_equation": AttackKind(
        tramer.equation_solving, ANY, "equation solving, adaptive rounds (Tramèr 2016)"
    ),
    "tramer_linesearch": AttackKind(tramer.line_search, ANY, "bisection to the boundary (Tramèr 2016)"),
    "jbda": AttackKind(jacobian.jbda, ANY, "Jacobian augmentation (Papernot 2017)"),
    "jb_random_targeted": AttackKind(jacobian.jb_random_targeted, ANY, "random targeted steps (Juuti 2019)"),
    "knockoff_random": AttackKind(knockoff.knockoff_random, ANY, "other domains' data (Orekondy 2019)"),
    "knockoff_adaptive": AttackKind(
        knockoff.knockoff_adaptive, ANY, "a bandit over other domains (Orekondy 2019)"
    ),
    "copycat_cnn": AttackKind(
        knockoff.copycat_cnn, ANY, "labels of other domains' data (Correia-Silva 2018)", True
    ),
    "art_knockoff": AttackKind(
        toolbox.art_knockoff,
        NUMERIC,
        "Knockoff Nets of the Adversarial Robustness Toolbox; needs copycatch[art]",
        needs=toolbox.EXTRACTION,
    ),
    "art_copycat_cnn": AttackKind(
        toolbox.art_copycat_cnn,
        NUMERIC,
        "Copycat CNN of the Adversarial Robustness Toolbox; needs copycatch[art]",
        is_label_only=True,
        needs=toolbox.EXTRACTION,
    ),
    "activethief_unc": AttackKind(activethief.uncertainty, ANY, "active learning by entropy (Pal 2020)"),
    "activethief_kcenter": AttackKind(activethief.k_center, ANY, "active learning by k-center (Pal 2020)"),
    "activethief_both": AttackKind(activethief.both, ANY, "entropy, then k-center (Pal 2020)"),
    "data_free": AttackKind(
        data_free.data_free, NUMERIC, "a generator without data (Truong 2021; Kariyappa 2021)"
    ),
    "topic_sweep": AttackKind(
        language.topic_sweep, TEXT, "question forms over the dictionary (Krishna 2020)"
    ),
    "self_instruct": AttackKind(language.self_instruct, TEXT, "instructions grown from seeds (Wang 2023)"),
    "template_campaign": AttackKind(language.template_campaign, TEXT, "requests in one template"),
    "reasoning_elicitation": AttackKind(language.reasoning_elicitation, TEXT, "coerces the reasoning trace"),
    "logprob_harvest": AttackKind(
        language.logprob_harvest, TEXT, "output layer by logit bias (Carlini 2024)", is_on_logits=True
    ),
}
