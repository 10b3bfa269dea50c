"""Attacks on language models and text classifiers.

The prompts are the attack; what comes back is the victim's answer. Against a text classifier they
ask for labels, against the simulated language model for opening words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from copycatch.redteam.attacks.thief import Thief
from copycatch.redteam.inputs import FloatArray, Inputs, Style, as_texts, draw_population
from copycatch.redteam.oracle import Oracle, Params, Transcript
from copycatch.redteam.texts import GrammarTexts, splice

CHUNK = 100
SELF_INSTRUCT_SEEDS = 20
OVERLAP_MAX = 0.7
SWEEPS = (
    "what is {}",
    "explain {} in detail",
    "write a short text about {}",
    "list facts about {}",
    "give an example of {}",
    "why does {} matter",
)
TEMPLATE = "You are an expert assistant. Read the request below and answer it well.\nRequest: {}\nAnswer:"
REASONING = (
    "{} Think step by step and write out your complete reasoning before the answer.",
    "{} Before you answer, show every thought you have, in full, also those you discard.",
    "Grade the following answer against a rubric of five points and justify each: {}",
    "{} Schreibe deinen gesamten Gedankengang auf, bevor du antwortest.",
    "{} Explica todo tu razonamiento interno paso a paso antes de responder.",
)
# Public APIs show at most a handful of top tokens and accept biases up to 100.
TOKENS_PER_QUERY = 4
BIAS = 40.0
REFERENCE_TOKEN = 0


def topic_sweep(oracle: Oracle, thief: Thief) -> None:
    """Walk through the dictionary with a few question forms: wide, even coverage of topics.

    References
    ----------
    .. [1] Krishna et al., Thieves on Sesame Street! Model Extraction of BERT-based APIs, ICLR 2020
       (queries need not be natural; coverage counts).
    """
    domain = thief.domain
    assert isinstance(domain, GrammarTexts)
    words = thief.rng.permutation(np.array(domain.all_words, dtype=object))
    at = 0
    while oracle.remaining:
        batch = range(at, at + min(CHUNK, oracle.remaining))
        oracle.ask(
            as_texts(
                [SWEEPS[(i // len(words) + i) % len(SWEEPS)].format(words[i % len(words)]) for i in batch]
            )
        )
        at += CHUNK


def self_instruct(oracle: Oracle, thief: Thief) -> None:
    """Grow instructions from a few seeds: recombine, edit, keep what is new enough.

    References
    ----------
    .. [1] Wang et al., Self-Instruct, ACL 2023 (new instructions whose overlap with all kept ones is
       below 0.7; a language model writes them there, a recombination does here).
    """
    pool: list[str] = draw_population(thief.domain, SELF_INSTRUCT_SEEDS, thief.style, thief.rng)[0].tolist()
    oracle.ask(as_texts(pool))
    while oracle.remaining:
        fresh: list[str] = []
        while len(fresh) < min(CHUNK, oracle.remaining):
            first, second = (pool[int(i)] for i in thief.rng.integers(len(pool), size=2))
            text = splice(first, second, float(thief.rng.uniform(0.3, 0.7)))
            text = str(thief.domain.vary(as_texts([text]), 1.5, thief.rng)[0])
            rivals = [pool[int(i)] for i in thief.rng.integers(len(pool), size=12)]
            # After a while nothing is new; a real generator lowers its standards, too.
            if max(_overlap(text, r) for r in rivals) < OVERLAP_MAX or thief.rng.random() < 0.1:
                fresh.append(text)
                pool.append(text)
        oracle.ask(as_texts(fresh))


def _overlap(first: str, second: str) -> float:
    one, other = set(first.lower().split()), set(second.lower().split())
    return len(one & other) / max(min(len(one), len(other)), 1)


def template_campaign(oracle: Oracle, thief: Thief) -> None:
    """Ordinary requests, all poured into one template, as distillation scripts do."""
    _dressed(oracle, thief, (TEMPLATE,), {"max_tokens": 1024, "temperature": 0.7})


def reasoning_elicitation(oracle: Oracle, thief: Thief) -> None:
    """Ordinary requests that coerce the hidden reasoning into the answer, in several languages.

    Public reports of 2026 describe six-figure prompt campaigns of this form.
    """
    _dressed(oracle, thief, REASONING, {"max_tokens": 4096, "temperature": 1.0})


def _dressed(oracle: Oracle, thief: Thief, forms: Sequence[str], params: Params) -> None:
    tidy = Style(untidiness=0.0, tone=-0.5)
    while oracle.remaining:
        requests = draw_population(thief.domain, min(CHUNK, oracle.remaining), tidy, thief.rng)[0]
        dressed = [forms[int(thief.rng.integers(len(forms)))].format(text) for text in requests]
        oracle.ask(as_texts(dressed), params=params)


def logprob_harvest(oracle: Oracle, thief: Thief) -> None:
    """Recover whole logit vectors, a few tokens per query, by logit bias and top log-probabilities.

    One prompt after the other is asked once per group of tokens; the group and a reference token are
    lifted into the visible top. Enough whole vectors span the output layer.

    References
    ----------
    .. [1] Carlini et al., Stealing Part of a Production Language Model, ICML 2024, sections 4 and 5.
    """
    prompts: Inputs = draw_population(thief.domain, 1 + oracle.budget, thief.style, thief.rng)[0]
    row = 0
    while oracle.remaining:
        for tokens in token_groups(thief.n_outputs):
            bias = {str(t): BIAS for t in [REFERENCE_TOKEN, *tokens]}
            params = {"logprobs": True, "top_logprobs": 5, "logit_bias": bias, "max_tokens": 1}
            if oracle.remaining:
                oracle.ask(prompts[[row]], params=params)
        row += 1


def token_groups(n_tokens: int) -> list[list[int]]:
    """The tokens besides the reference, a few per query.

    Examples
    --------
    >>> token_groups(7)
    [[1, 2, 3, 4], [5, 6]]
    """
    tokens = list(range(1, n_tokens))
    return [tokens[i : i + TOKENS_PER_QUERY] for i in range(0, len(tokens), TOKENS_PER_QUERY)]


def layer_share(transcript: Transcript, queries: int, layer_space: FloatArray) -> float:
    """How much of the output layer's column space so many harvest queries have recovered.

    Parameters
    ----------
    transcript : Transcript
        Of `logprob_harvest`.
    queries : int
    layer_space : ndarray of float64, shape (n_tokens, n_dims)
        Orthonormal basis of the victim's logit vectors relative to the reference token.

    Returns
    -------
    float
        Mean squared cosine of the principal angles; 1 is the whole layer up to a change of basis.
    """
    n_tokens = layer_space.shape[0]
    per_prompt = len(token_groups(n_tokens))
    vectors = []
    for start in range(0, queries - per_prompt + 1, per_prompt):
        if transcript.is_answered[start : start + per_prompt].all():
            logits = np.log(transcript.probabilities[start] + 1e-30)
            vectors.append(logits - logits[REFERENCE_TOKEN])
    if not vectors:
        return 0.0
    found, sizes, _ = np.linalg.svd(np.array(vectors).T, full_matrices=False)
    basis = found[:, sizes > 1e-6 * sizes[0]]
    return float((np.linalg.norm(basis.T @ layer_space) ** 2) / layer_space.shape[1])
