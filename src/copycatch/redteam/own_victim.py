"""A world around the user's own model, from a sample of its natural inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from copycatch.errors import ConfigError
from copycatch.redteam.grammar_files import Grammar
from copycatch.redteam.inputs import Domain, FloatArray, Inputs, IntArray, as_texts
from copycatch.redteam.oracle import Answers
from copycatch.redteam.students import train_student
from copycatch.redteam.tables import RowsTable, foreign_rows
from copycatch.redteam.texts import GrammarTexts
from copycatch.redteam.victims import Classify, Victim

SAMPLES_MIN = 60
HELD_OUT_SHARE = 0.4


def read_samples(path: Path) -> Inputs:
    """Natural inputs: .npy or .csv (one row a query), .jsonl (arrays or texts), .txt (a text a line).

    Raises
    ------
    ConfigError
        If the file cannot be read as that, or holds too few.
    """
    try:
        if path.suffix == ".npy":
            samples: Inputs = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
        elif path.suffix == ".csv":
            samples = np.loadtxt(path, delimiter=",", ndmin=2)
        elif path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
            samples = (
                as_texts(rows) if rows and isinstance(rows[0], str) else np.asarray(rows, dtype=np.float64)
            )
        elif path.suffix == ".txt":
            samples = as_texts([line for line in path.read_text().splitlines() if line.strip()])
        else:
            message = f"{path}: samples are .npy, .csv, .jsonl or .txt"
            raise ConfigError(message)
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as samples: {error}"
        raise ConfigError(message) from error
    if len(samples) < SAMPLES_MIN or samples.ndim > 2:
        message = (
            f"{path}: at least {SAMPLES_MIN} natural inputs are needed, one a row; it holds {len(samples)}"
        )
        raise ConfigError(message)
    return samples


def own_victim(name: str, classify: Classify, samples: Inputs, seed: int, *, is_costly: bool) -> Victim:
    """Put the user's model among honest users and thieves.

    Parameters
    ----------
    name : str
        Goes into `model_id`.
    classify : callable
        The model; asked once for every sample here, and by the attacks.
    samples : Inputs
        Natural inputs. Part is held out to measure fidelity; honest users and seeds come from the rest.
    seed : int
    is_costly : bool
        True for an endpoint with a budget: honest users are then answered by a stand-in that is
        trained on the samples' answers.
    """
    rng = np.random.default_rng([seed, 5])
    order = rng.permutation(len(samples))
    probabilities = classify(samples)
    n_held_out = round(HELD_OUT_SHARE * len(samples))
    out, rest = order[:n_held_out], order[n_held_out:]
    labels = np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
    domain = own_domain(name, samples[rest], labels[rest], probabilities.shape[1], seed)
    stand_in = None
    if is_costly:
        stand_in = train_student(domain, Answers(samples[rest], probabilities[rest]), rng).classify
    # The true classes are unknown: accuracy is read against the victim itself.
    return Victim(name, domain, classify, 1.0, samples[out], labels[out], labels[out], stand_in=stand_in)


def own_domain(name: str, samples: Inputs, labels: IntArray, n_classes: int, seed: int) -> Domain:
    """The world that a sample tells of; classes are what the victim says."""
    class_names = tuple(f"class-{i}" for i in range(n_classes))
    if samples.dtype != object:
        rows: FloatArray = samples
        return RowsTable(name, rows, labels, class_names, foreign_rows("wine"), seed)
    # The grammar's signs have no meaning in a sample.
    no_signs = str.maketrans("", "", "()|<>")
    everything = tuple(str(text).translate(no_signs) for text in samples)
    templates = {
        class_name: tuple(t for t, k in zip(everything, labels, strict=True) if k == index) or everything
        for index, class_name in enumerate(class_names)
    }
    texts = GrammarTexts(name, Grammar(templates=templates), seed)
    texts.class_weights = np.bincount(labels, minlength=n_classes) / len(labels)
    return texts
