"""What an audit finds of faults planted in flowers, and how long it takes.

    python benchmarks/audit.py [--short] [--data FOLDER] [--seeds N]

For each seed a copy of the flowers gets 5 % of its labels flipped and 44 copies of training photos
put into val: recompressed, resized, mirrored, slightly cropped (ten of each), and four as they are.
`budwood audit` runs twice, as whole processes: with an empty and with a full store. Another copy,
class folders without parts, gets bursts and copies; it is told how many of them a split made by
Budwood keeps on one side.

Baselines in the same run: for copies, pairs whose perceptual hashes (imagehash.phash of the whole
photo) differ in at most 4 or 8 of 64 bits; for labels, the twentieth of the photos whose label gets
the lowest probability from a linear probe in plain folds.

A pair of photos counts as false if it was not planted and is not in NATURAL, the pairs of flowers
that are of one picture, or nearly, as looked at by eye. FOLDER holds `flowers` (default:
BUDWOOD_DATA). `--short` is one seed.
"""

import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measuring import BUDWOOD, Ran, Row, asked_for, call, median, options, report, run
from planting import KINDS, Planted, plant, plant_bursts

BITS = (4, 8)
FIRST = 100
"""The first seed; those below were used to choose constants."""
COLUMNS = (
    "seed", "seconds_first", "seconds_full_store", "label_recall", "label_precision", "exact",
    *KINDS, "copies", "false_pairs", "pairs", "sides_torn", "lowest_recall", "lowest_precision",
    *(f"phash{bits}_copies" for bits in BITS), *(f"phash{bits}_false" for bits in BITS),
)  # fmt: skip
Pair = frozenset[str]


NATURAL = {
    frozenset(pair.split())
    for pair in (
        "12406418663_af20dc225f_n 12407768513_3440238148_n",
        "14741866338_bdc8bfc8d5_n 14925398441_107f3e0304_n",
        "14889392928_9742aed45b_m 15066430311_fb57fa92b0_m",
        "15069459615_7e0fd61914_n 15072973261_73e2912ef2_n",
        "17161833794_e1d92259d2_m 18304194360_2a4a0be631_m",
        "17433282043_441b0a07f4_n 22429946721_e17a12cb39_n",
        "18996760154_58d3c48604 19586799286_beb9d684b5",
        "19177263840_6a316ea639 19178753159_a471bf4b6b",
        "2333321040_3960b9d67e_n 2344751399_71620039f2_n",
        "2823659190_afdabee45c 2979133707_84aab35b5d",
        "284497199_93a01f48f6 284497233_c19801752c",
        "4278757393_bca8415ed4_n 4654848357_9549351e0b_n",
        "4608559939_3487bf3b62_n 4609168052_3d4e1d3804_n",
        "506659320_6fac46551e 506660896_c903cca1f0",
        "5635347336_bc1400e939_n 5700394524_dc6f8fa9cd_n",
        "6606809995_edee55b770_m 6606813305_c992231d29_m",
        "8978962053_0727b41d26 8980164828_04fbf64f79_n",
        "8979062599_86cac547b8 8979087213_28f572174c",
        "8979062599_86cac547b8 8980273068_cf7e8b880a_n",
        "8979087213_28f572174c 8980273068_cf7e8b880a_n",
        "17482158576_86c5ebc2f8 23192507093_2e6ec77bef_n",
        "8689302100_be76a16ccc_n 8689302980_9bd2f7b9fe_n",
        "11834945233_a53b7a92ac_m 9467543719_c4800becbb_m",
        "19440910519_cb1162470e 17420983523_2e32d70359",
        "18243351371_5fda92ac0a_n 18999743619_cec3f39bee",
        "14741813110_94964c39e2_n 14741907467_fab96f3b2b_n",
        "19064700925_b93d474e37 19067907051_16d530c7d2",
    )
}
"""Names of photos of flowers that show one picture, or one scene twice."""


def hash_pairs(folder: str) -> dict[str, list[list[str]]]:
    """The pairs of photos whose perceptual hashes differ in few bits; runs in a child process."""
    import imagehash
    import numpy as np
    from measuring import images_in
    from PIL import Image

    paths = images_in(Path(folder))
    hashes = []
    for path in paths:
        with Image.open(path) as image:
            hashes.append(imagehash.phash(image).hash.ravel())
    signs = np.where(np.array(hashes), 1.0, -1.0).astype(np.float32)
    differ = (64 - signs @ signs.T) / 2
    return {
        str(bits): [
            [str(paths[a]), str(paths[b])]
            for a, b in zip(*np.nonzero(np.triu(differ <= bits, 1)), strict=True)
        ]
        for bits in BITS
    }


def lowest(folder: str) -> list[str]:
    """The twentieth of the photos whose label is believed least; runs in a child process."""
    import numpy as np
    import torch

    import budwood
    from budwood.learning.fitting import held_out_by_probe
    from budwood.learning.probe import Probe, fit_probe

    images = budwood.load_folder(folder)
    splits = [split for split in (images.train, images.test) if split is not None]
    model = budwood.Classifier(
        budwood.unfreeze(
            budwood.freeze(budwood.build("efficientnet_lite0", classes=images.classes), "*"),
            "classifier",
        )
    )
    gathered = model.gather([path for split in splits for path in split.paths])
    labels = torch.tensor([label for split in splits for label in split.labels])
    rows = model.plan.features(gathered)
    config = Probe()
    solved = fit_probe(rows, labels, len(images.classes), config)
    held_out = held_out_by_probe(rows, labels, len(images.classes), solved, config, True)
    assert held_out is not None
    own = held_out.logits.softmax(1)[torch.arange(len(labels)), labels].numpy()
    return [str(gathered.paths[i]) for i in np.argsort(own)[: round(0.05 * len(own))]]


def sides(folder: str) -> list[list[str]]:
    """The photos of each side of a split that Budwood makes; runs in a child process."""
    import budwood

    images = budwood.load_folder(folder, test_fraction=0.3)
    parts = (images.train, images.test)
    return [[str(path) for path in split.paths] for split in parts if split is not None]


def audit(folder: Path, home: Path) -> Ran:
    """An audit as a whole process."""
    return run([BUDWOOD, "audit", folder, "--json"], home)


def pairs_of(findings: Iterable[dict[str, Any]]) -> set[Pair]:
    """Every pair of photos that is told to be of one picture."""
    return {
        frozenset(pair)
        for finding in findings
        if finding["kind"] in ("leak", "duplicate") and "within seconds" not in finding["reason"]
        for pair in combinations(finding["photos"], 2)
    }


def judged_pairs(found: set[Pair], planted: Planted) -> tuple[dict[str, float], list[Pair]]:
    """The share of copies found, by kind; and the pairs that are false."""
    by_kind: dict[str, list[bool]] = {}
    real: set[Pair] = set()
    for copy, (kind, source) in planted.copies.items():
        pair = frozenset([str(copy), str(source)])
        real.add(pair)
        by_kind.setdefault(kind, []).append(pair in found)
    names = {str(copy): source.stem for copy, (_, source) in planted.copies.items()}
    plain = [
        frozenset(names.get(p, Path(p).stem.removeprefix("flipped-")) for p in pair)
        for pair in found - real
    ]
    false = [pair for pair in plain if len(pair) == 2 and pair not in NATURAL]
    shares = {kind: sum(hits) / len(hits) for kind, hits in by_kind.items()}
    changed = [hit for kind, hits in by_kind.items() if kind != "exact" for hit in hits]
    return {**shares, "copies": sum(changed) / len(changed)}, false


def torn(planted: Planted) -> int:
    """Bursts and copies that lie on both sides of a split made by Budwood."""
    side_of = {
        path: number
        for number, images in enumerate(call(sides, folder=str(planted.folder)).result)
        for path in images
    }
    together = [*planted.bursts, *([copy, source] for copy, (_, source) in planted.copies.items())]
    return sum(len({side_of[str(image)] for image in images}) > 1 for images in together)


def one_seed(data: Path, place: Path, seed: int) -> Row:
    """All figures of one seed."""
    planted = plant(data, place / "photos", seed)
    home = place / "home"
    first, second = (audit(planted.folder, home) for _ in range(2))
    result = second.result
    flagged = {f["photos"][0] for f in result["findings"] if f["kind"] == "label"}
    flipped = {str(path) for path in planted.flipped}
    found = pairs_of(result["findings"])
    shares, false = judged_pairs(found, planted)
    least = set(call(lowest, home=home, folder=str(planted.folder)).result)
    row: Row = {
        "seed": seed,
        "seconds_first": first.seconds,
        "seconds_full_store": second.seconds,
        "cpu_seconds_full_store": second.cpu_seconds,
        "label_recall": len(flagged & flipped) / len(flipped),
        "label_precision": len(flagged & flipped) / max(1, len(flagged)),
        **shares,
        "pairs": len(found),
        "false_pairs": len(false),
        "those": [sorted(pair) for pair in false],
        "lowest_recall": len(least & flipped) / len(flipped),
        "lowest_precision": len(least & flipped) / len(least),
        "sides_torn": torn(plant_bursts(data, place / "flat", seed)),
        "outliers": sum(f["kind"] == "outlier" for f in result["findings"]),
    }
    hashed = call(hash_pairs, folder=str(planted.folder)).result
    for bits, pairs in hashed.items():
        those, wrong = judged_pairs({frozenset(pair) for pair in pairs}, planted)
        row[f"phash{bits}_copies"], row[f"phash{bits}_false"] = those["copies"], len(wrong)
    return row


def main() -> None:
    """Every seed, and the medians over all."""
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    asked = asked_for(parser)
    rows = []
    for seed in range(FIRST, FIRST + (1 if asked.short else asked.seeds)):
        with TemporaryDirectory() as folder:
            rows.append(one_seed(asked.data / "flowers", Path(folder), seed))
        print(f"  seed {seed}", file=sys.stderr)
    figures = [name for name, value in rows[0].items() if name != "seed" and name != "those"]
    medians = {name: median(row[name] for row in rows) for name in figures}
    report(asked, COLUMNS, [*rows, {"seed": "median", **medians}])


if __name__ == "__main__":
    main()
