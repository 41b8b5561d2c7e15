"""Write the tables of speed in docs/measured.md and README.md, in both languages.

    python tools/make_speed_table.py

Reads `benchmarks/results/*.json`, and for further machines the folders `on-NAME` there, which
`--save` of the benchmarks writes, and puts a table for each machine between the two markers; the
READMEs get the headlines. Run it after saving a result. A result of `--short` or of a machine that
others used is refused, and so is one of another machine than the rest of its folder.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = {"docs/measured.md": "en", "docs/zh/measured.md": "zh"}
READMES = {"README.md": "en", "README.zh.md": "zh"}
HEADLINES = re.compile(r"lite0-flowers|geometric mean|几何平均|budwood predict")
"""What is measured in the lines that a README shows."""
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
QUIET = 0.5
"""The load before a benchmark above which its figures do not count."""

Line = tuple[str, str, str, str]
"""What is measured, the baseline, Budwood, and how they compare."""

WORDS = {
    "en": {
        "head": ("measured", "baseline", "Budwood", "", "repeat with"),
        "none": "Nothing has been measured for this table yet.",
        "machine": "{cores} cores, {processor}, {extensions}; {memory_gb} GB; {system}; {versions}",
        "chapter": "{job}, {epochs} epochs: the chapter's loop",
        "mean": "geometric mean of these {count} jobs",
        "scaled": "{seconds} (scaled)",
        "peer": "{job}: {who}",
        "missing": "not measured: {why}",
        "floor": "{network}, a photo: what the machine can do at most",
        "share": "{share} of the most",
        "second": "flowers, full store: {training}; baseline: empty store",
        "misses": "{misses} misses, {ratio}",
        "growth": "{curve}: seconds grow with the power",
        "start": "`{command}`; baseline: importing torch, torchvision, timm",
        "accuracy": "{photos}, {seeds} splits: {precision} against fp32, top-1",
        "within": "{difference} ({low} to {high})",
        "machines": "Ratios of two machines can be held against each other, seconds cannot.",
    },
    "zh": {
        "head": ("测量内容", "对照", "Budwood", "", "重复测量的命令"),
        "none": "此表尚无测量结果。",
        "machine": "{cores} 核（{processor}；{extensions}），{memory_gb} GB，{system}；{versions}",
        "chapter": "{job}，{epochs} 代：教材的循环",
        "mean": "以上 {count} 项的几何平均",
        "scaled": "{seconds}（推算）",
        "peer": "{job}：{who}",
        "missing": "未测量：{why}",
        "floor": "{network}，每张图像：此机器的极限",
        "share": "极限的 {share}",
        "second": "花卉，特征已保存：{training}；对照：尚无特征",
        "misses": "新计算 {misses} 张，{ratio}",
        "growth": "{curve}：耗时随之增长的指数",
        "start": "`{command}`；对照：导入 torch、torchvision、timm",
        "accuracy": "{photos}，{seeds} 次划分：{precision} 与 fp32 的准确率",
        "within": "{difference}（{low} 至 {high}）",
        "machines": "两台机器的比值可以相比，秒数不能。",
    },
}


def course_jobs(result: dict[str, Any], say: dict[str, str]) -> Iterator[Line]:
    """Each job of the chapter, and their mean."""
    for row in result["rows"]:
        usual = seconds(row["chapter_seconds"])
        is_scaled = "scaled" in row["measured_on"]
        yield (
            say["chapter"].format_map(row),
            say["scaled"].format(seconds=usual) if is_scaled else usual,
            seconds(row["budwood_seconds"]),
            times(row["ratio"]),
        )
    mean = say["mean"].format(count=len(result["rows"]))
    yield mean, "", "", times(result["geometric_mean"])


def peers(result: dict[str, Any], say: dict[str, str]) -> Iterator[Line]:
    """Each peer at each job; one that could not be measured says why."""
    ours = {row["job"]: row["seconds"] for row in result["rows"] if row["who"] == "budwood"}
    for row in result["rows"]:
        what = say["peer"].format_map(row)
        if "not_measured" in row:
            yield what, say["missing"].format(why=row["not_measured"]), "", ""
        elif row["who"] != "budwood":
            usual = seconds(row["seconds"])
            is_scaled = "scaled" in row["measured_on"]
            yield (
                what,
                say["scaled"].format(seconds=usual) if is_scaled else usual,
                seconds(ours[row["job"]]),
                times(row["of_budwood"]),
            )


def floor(result: dict[str, Any], say: dict[str, str]) -> Iterator[Line]:
    """Each network beside what the machine can do."""
    for row in result["rows"]:
        share = say["share"].format(share=f"{row['share_of_floor']:.0%}")
        ms = (f"{row[name]:.1f} ms" for name in ("floor_ms", "budwood_ms"))
        yield say["floor"].format_map(row), *ms, share


def second_run(result: dict[str, Any], say: dict[str, str]) -> Iterator[Line]:
    """Each training that finds the store full."""
    first, *others = result["rows"]
    for row in others:
        compared = say["misses"].format(misses=row["misses"], ratio=times(row["ratio"]))
        what = say["second"].format_map(row)
        yield what, seconds(first["seconds"]), seconds(row["seconds"]), compared


def growth(result: dict[str, Any], say: dict[str, str]) -> Iterator[Line]:
    """The exponent of each curve."""
    for curve, exponent in result["exponents"].items():
        yield say["growth"].format(curve=curve), "", f"{exponent:.2f}", ""


def start(result: dict[str, Any], say: dict[str, str]) -> Iterator[Line]:
    """Each command."""
    first, *others = result["rows"]
    for row in others:
        what = say["start"].format_map(row)
        if "not_measured" in row:
            yield what, "", say["missing"].format(why=row["not_measured"]), ""
        else:
            memory = f"{row['peak_mb']:.0f} MB"
            yield what, seconds(first["seconds"]), seconds(row["seconds"]), memory


def accuracy(result: dict[str, Any], say: dict[str, str]) -> Iterator[Line]:
    """Each arithmetic on each set of photos."""
    for row in result["rows"]:
        signed = {name: f"{row[name]:+.4f}" for name in ("difference", "low", "high")}
        top1 = (f"{row[name]:.4f}" for name in ("fp32_top1", "top1"))
        yield say["accuracy"].format_map(row), *top1, say["within"].format_map(signed)


SECTIONS: dict[str, Callable[[dict[str, Any], dict[str, str]], Iterator[Line]]] = {
    made.__name__: made for made in (course_jobs, peers, floor, second_run, growth, start, accuracy)
}
"""The benchmarks that have lines in the table, in its order."""


def saved(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The saved results, in the order of the table.

    Raises:
        ValueError: If one may not be shown; the file is named.
    """
    paths = [*sorted(folder.glob("*.json")), *sorted(folder.glob("on-*/*.json"))]
    found = {path: json.loads(path.read_text("utf-8")) for path in paths}
    for path, result in found.items():
        if result["benchmark"] not in SECTIONS:
            raise ValueError(f"{path.name} is of {result['benchmark']!r}, which has no lines here.")
        if result["short"]:
            raise ValueError(f"{path.name} was measured with --short. Measure it in full.")
        if (result["load_before"] or 0) > QUIET:
            raise ValueError(
                f"{path.name} was measured while others used the machine (load "
                f"{result['load_before']}). Measure it again when it is quiet."
            )
    machines: dict[Path, str] = {}
    for path, result in found.items():
        if machines.setdefault(path.parent, hardware(result)) != hardware(result):
            raise ValueError(
                f"{path.name} is of another machine than the rest. Save it in a folder on-NAME."
            )
    order, folders = list(SECTIONS), list(machines)
    ranked = sorted(
        found.items(),
        key=lambda each: (folders.index(each[0].parent), order.index(each[1]["benchmark"])),
    )
    return [result for _, result in ranked]


def speed_table(
    results: list[dict[str, Any]], language: str, *, only: re.Pattern[str] | None = None
) -> str:
    """A table for each machine in one language, with the machine above it; `only` chooses lines by
    their start."""
    say: dict[str, Any] = WORDS[language]
    if not results:
        return str(say["none"])
    names = list(dict.fromkeys(map(hardware, results)))
    tables = [
        _table_of([each for each in results if hardware(each) == name], language, only)
        for name in names
    ]
    return "\n\n".join([*tables, *([str(say["machines"])] if len(names) > 1 else [])])


def _table_of(results: list[dict[str, Any]], language: str, only: re.Pattern[str] | None) -> str:
    say: dict[str, Any] = WORDS[language]
    lines = [say["head"], ("---", "---:", "---:", "---:", "---")]
    for result in results:
        command = f"`{result['command']}`"
        lines += [
            (*line, command)
            for line in SECTIONS[result["benchmark"]](result, say)
            if only is None or only.search(line[0])
        ]
    rows = "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
    return f"{machine(results[0], language)}\n\n{rows}"


def hardware(result: dict[str, Any]) -> str:
    """What tells two machines apart."""
    about = result["machine"]
    return json.dumps([about[name] for name in ("cores", "processor", "extensions", "memory_gb")])


def machine(result: dict[str, Any], language: str) -> str:
    """The machine in general terms."""
    about = dict(result["machine"])
    caches = [f"{name} {size} kB" for name, size in about.get("caches_kb", {}).items()]
    about["extensions"] = ", ".join([*about["extensions"], *caches])
    names = ("torch", "openvino")
    about["versions"] = ", ".join(f"{name} {about['versions'][name]}" for name in names)
    return str(WORDS[language]["machine"]).format_map(about)


def with_table(page: str, table: str, begin_at: str = BEGIN, end_at: str = END) -> str:
    """A page with another table between its markers.

    Raises:
        ValueError: If it does not have both markers, once each, in their order.
    """
    before, begin, rest = page.partition(begin_at)
    _, end, after = rest.partition(end_at)
    if not begin or not end or begin_at in after or end_at in before + after:
        raise ValueError(f"The page needs one {begin_at} and after it one {end_at}.")
    return f"{before}{begin_at}\n{table}\n{end_at}{after}"


def seconds(value: float) -> str:
    """Seconds with as many figures as they deserve.

    Example:
        >>> seconds(0.213), seconds(22.34), seconds(1384.0)
        ('0.21 s', '22.3 s', '1384 s')
    """
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} s"


def times(ratio: float) -> str:
    """How many times the baseline takes."""
    return f"{ratio:.1f}x" if ratio < 10 else f"{ratio:.0f}x"


if __name__ == "__main__":
    results = saved()
    for pages, only in ((PAGES, None), (READMES, HEADLINES)):
        for name, language in pages.items():
            page = ROOT / name
            table = speed_table(results, language, only=only)
            page.write_text(with_table(page.read_text("utf-8"), table), "utf-8")
            print(f"{page} is written")
