"""Rings and innocent sharing, town by town: recall by ring, members named, share kept, false campaigns.

python -m tests.benchmarks.detection.rings            the tables alone
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from copycatch.redteam.rings import DAYS, RINGS, SHARINGS, Town, ring_seen, search_town

CROWD = 150
SEEDS = 4


def measure(kind: str, name: str, seed: int) -> dict[str, Any]:
    """One town: an honest crowd, and one ring or one kind of sharing in it."""
    town = Town(seed)
    town.crowd(CROWD)
    group = town.ring(RINGS[name]) if kind == "ring" else SHARINGS[name](town)
    seen = search_town(town)
    is_found, named_share, kept_share = ring_seen(seen, town.events(), group)
    honest_days = (town.n_accounts - (len(group) if kind == "ring" else 0)) * DAYS
    wrong = seen.named_ms.keys() - (set(group) if kind == "ring" else set())
    return {
        "found": float(is_found),
        "named": named_share,
        "kept": kept_share,
        "others": len(wrong),
        "false_campaigns": sum(
            each.change == "found" and not {member.row for member in each.members} & set(group)
            if kind == "ring"
            else each.change == "found"
            for each in seen.findings
        ),
        "honest_days": honest_days,
    }


def ring_table(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """A row a ring, means over seeds."""
    heading = ("ring", "accounts", "recall", "members named", "share kept at alert", "others named")
    rows: list[tuple[str, ...]] = [heading]
    for name, towns in found.items():
        means = [statistics.mean(town[column] for town in towns) for column in ("found", "named", "kept")]
        others = sum(town["others"] for town in towns)
        rows.append(
            (RINGS[name].description, str(RINGS[name].size), *(f"{mean:.2f}" for mean in means), str(others))
        )
    return rows


def sharing_table(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, ...]]:
    """A row a kind of sharing."""
    rows: list[tuple[str, ...]] = [
        ("innocent sharing", "accounts named", "false campaigns per 1,000 accounts and day")
    ]
    for name, towns in found.items():
        rate = (
            1000 * sum(town["false_campaigns"] for town in towns) / sum(town["honest_days"] for town in towns)
        )
        rows.append((name.replace("_", " "), str(sum(town["others"] for town in towns)), f"{rate:.2f}"))
    return rows


def tables(seeds: Sequence[int]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Both tables, over these seeds."""
    rings = {name: [measure("ring", name, seed) for seed in seeds] for name in RINGS}
    sharings = {name: [measure("sharing", name, seed) for seed in seeds] for name in SHARINGS}
    return [
        (f"Rings among {CROWD} honest accounts, mean of {len(seeds)} towns", ring_table(rings)),
        (f"Innocent sharing among {CROWD} honest accounts, {len(seeds)} towns", sharing_table(sharings)),
    ]


def measure_all(seed: int, towns: int) -> dict[str, Any]:
    """The tables as plain values; runs in a child."""
    return {"tables": tables([seed + index for index in range(towns)])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--towns", type=int, default=SEEDS)
    args = parser.parse_args()
    for title, rows in tables([args.seed + index for index in range(args.towns)]):
        print(f"\n{title}\n")
        for row in rows:
            print(" | ".join(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
