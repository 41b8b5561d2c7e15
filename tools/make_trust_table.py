"""Write the table of what was measured about trust into docs/measured.md, in both languages.

    python tools/make_trust_table.py

Reads `benchmarks/results/judge/*.json`, which `--save` of the benchmarks writes, and puts the
table between its two markers. Run it after saving a result. Each row says what follows from the
figures and no more; a claim that failed (`is_met` false) is marked as such. A result of `--short`
is refused.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from make_speed_table import PAGES, ROOT, with_table

RESULTS = ROOT / "benchmarks" / "results" / "judge"
BEGIN, END = "<!-- trust: begin -->", "<!-- trust: end -->"

Result = dict[str, Any]
Words = dict[str, str]
Line = tuple[str, str]
"""What was asked, and what was found."""

WORDS: dict[str, Any] = {
    "en": {
        "head": ("asked", "found", "repeat with"),
        "failed": " (**the claim fails**)",
        "flowers": "flowers",
        "catdog": "cats and dogs",
        "calibration": "{photos}, {splits} splits: expected calibration error",
        "calibrated": "{error}; a perfect classifier shows {low} to {high} on as many photos, and "
        "{inside} of {splits} lie there; confidence less accuracy {gap} points",
        "abstain": "{photos}, {splits} splits: target error {target}, with 90 % confidence",
        "abstained": "{error} of the answers wrong ({low} to {high}), {coverage} answered; above "
        "the target on {above} of {splits} sets of test photos",
        "ood": "cats and dogs are out of distribution for the flower model",
        "found ood": "{unknown}, and {flowers} of the flowers",
        "curve": "{photos}: accuracy with all photos, forecast from half of them, {splits} splits",
        "forecast": "off by {forecast} points on average, {naive} if nothing is said to change; "
        "{inside} of {splits} intervals hold; {given} forecasts given",
        "labels": "flowers, {draws} draws: 5 % of the labels flipped",
        "found labels": "{recall} found, {precision} of those named",
        "copies": "flowers, {draws} draws: copies planted across the splits",
        "found copies": "{copies} found; {false} of {pairs} pairs false",
    },
    "zh": {
        "head": ("问题", "结果", "重复测量的命令"),
        "failed": "（**未达到**）",
        "flowers": "花卉",
        "catdog": "猫狗",
        "calibration": "{photos}，{splits} 次划分：期望校准误差",
        "calibrated": "{error}；同样数量的图像上，完全校准的分类器为 {low} 至 {high}，"
        "{splits} 次中有 {inside} 次落在其中；置信度减准确率为 {gap} 个百分点",
        "abstain": "{photos}，{splits} 次划分：目标错误率 {target}（置信水平 90 %）",
        "abstained": "回答中有 {error} 是错的（{low} 至 {high}），回答了 {coverage}；"
        "{splits} 组测试图像中有 {above} 组高于目标",
        "ood": "对花卉模型而言，猫狗属于分布外",
        "found ood": "{unknown}；花卉中有 {flowers}",
        "curve": "{photos}：由一半图像预测全部图像的准确率，{splits} 次划分",
        "forecast": "平均相差 {forecast} 个百分点，假设不变则相差 {naive} 个；"
        "{splits} 个区间中有 {inside} 个包含实测值；给出 {given} 次预测",
        "labels": "花卉，重复 {draws} 次：故意标错 5 % 的标签",
        "found labels": "找出 {recall}；指出的标签中有 {precision} 确实标错",
        "copies": "花卉，重复 {draws} 次：在各划分之间放入副本",
        "found copies": "找出 {copies}；{pairs} 对中有 {false} 对误报",
    },
}


def trust(result: Result, say: Words) -> Iterator[Line]:
    """Calibration, target errors, and what is out of distribution."""
    for row in result["rows"]:
        values = row | {"photos": say[row["photos"]]}
        failed = "" if row["is_met"] else say["failed"]
        if row["how"] == "calibrated":
            figures = {
                "error": f"{row['error']:.3f}",
                "low": f"{row['band_low']:.3f}",
                "high": f"{row['band_high']:.3f}",
                "gap": f"{100 * row['gap']:+.1f}",
            }
            found = say["calibrated"].format_map(values | figures)
            yield say["calibration"].format_map(values), found + failed
        elif row["how"].startswith("target"):
            names = ("error", "low", "high", "coverage")
            figures = {name: percent(max(0.0, row[name])) for name in names}
            found = say["abstained"].format_map(values | figures)
            target = {"target": percent(row["target"])}
            yield say["abstain"].format_map(values | target), found + failed
        elif row["what"] == "ood" and row["how"] == "limit":
            shares = {"unknown": percent(row["unknown"]), "flowers": percent(1 - row["coverage"])}
            yield say["ood"], say["found ood"].format_map(shares) + failed


def learning_curve(result: Result, say: Words) -> Iterator[Line]:
    """The forecast beside the naive one."""
    for row in result["sets"]:
        values = {
            "photos": say[row["data"]],
            "splits": sum(one["data"] == row["data"] for one in result["rows"]),
            "forecast": f"{100 * row['mean_absolute_error']:.2f}",
            "naive": f"{100 * row['of_naive']:.2f}",
            "inside": row["inside"],
            "given": row["forecasts"],
        }
        failed = "" if row["is_met"] else say["failed"]
        yield say["curve"].format_map(values), say["forecast"].format_map(values) + failed


def audit(result: Result, say: Words) -> Iterator[Line]:
    """Wrong labels and copies."""
    rows = [row for row in result["rows"] if isinstance(row["seed"], int)]
    values = {
        "draws": len(rows),
        "recall": between(row["label_recall"] for row in rows),
        "precision": between(row["label_precision"] for row in rows),
        "copies": percent(mean(row["copies"] for row in rows)),
        "false": sum(row["false_pairs"] for row in rows),
        "pairs": sum(row["pairs"] for row in rows),
    }
    yield say["labels"].format_map(values), say["found labels"].format_map(values)
    yield say["copies"].format_map(values), say["found copies"].format_map(values)


SECTIONS: dict[str, Callable[[Result, Words], Iterator[Line]]] = {
    made.__name__: made for made in (trust, audit, learning_curve)
}
"""The benchmarks that have lines in the table, in its order."""


def saved(folder: Path = RESULTS) -> list[Result]:
    """The saved results that have lines, in the order of the table.

    Raises:
        ValueError: If one was measured with --short; the file is named.
    """
    found = []
    for name in SECTIONS:
        path = folder / f"{name}.json"
        if path.is_file():
            result = json.loads(path.read_text("utf-8"))
            if result["short"]:
                raise ValueError(f"{path.name} was measured with --short. Measure it in full.")
            found.append(result)
    return found


def trust_table(results: list[Result], language: str) -> str:
    """The table in one language."""
    say = WORDS[language]
    lines: list[tuple[str, ...]] = [say["head"], ("---", "---", "---")]
    for result in results:
        command = f"`{result['command']}`"
        lines += [(*line, command) for line in SECTIONS[result["benchmark"]](result, say)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(share: float) -> str:
    """A share of a hundred.

    Example:
        >>> percent(0.02), percent(0.0162), percent(0.734), percent(0.999), percent(1.0)
        ('2 %', '1.6 %', '73 %', '99.9 %', '100 %')
    """
    digits = 1 if share < 0.1 or 0.99 < share < 1 else 0
    return f"{100 * share:.{digits}f}".removesuffix(".0") + " %"


def between(shares: Iterator[float]) -> str:
    """From the least to the greatest."""
    values = sorted(shares)
    return f"{100 * values[0]:.0f} to {100 * values[-1]:.0f} %".replace(" to ", "–")


if __name__ == "__main__":
    results = saved()
    for name, language in PAGES.items():
        page = ROOT / name
        table = trust_table(results, language)
        page.write_text(with_table(page.read_text("utf-8"), table, BEGIN, END), "utf-8")
        print(f"{page} is written")
