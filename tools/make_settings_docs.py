"""Write the tables of settings into docs/: the keys of a recipe, and the fields of `config.json`.

    python tools/make_settings_docs.py

Run it after a change to `src/budwood/settings.py`. What stands between two marks is written anew.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from budwood.course.recipes import Chapter, Recipe
from budwood.fields import Setting, Steps, Texts, settings_of
from budwood.settings import Settings, recipe_keys

DOCS = Path(__file__).parent.parent / "docs"
START, END = "<!-- written by tools/make_settings_docs.py -->", "<!-- until here -->"


class Language(NamedTuple):
    """What the table of keys says in one language."""

    head: tuple[str, ...]
    types: Mapping[Any, str]
    nothing: str
    not_in_graft: str
    tables: Mapping[str, tuple[str, str, str]]
    """Of each table of a recipe: its key, what it is, and what it means to leave it out."""
    texts: Mapping[str, str]
    """The help of each key where it is not English."""
    words: Mapping[str, str]
    """Likewise, words that stand for a default."""


ENGLISH = Language(
    head=("key", "type", "what it sets", "left out"),
    types={
        str: "text",
        int: "integer",
        float: "number",
        bool: "true or false",
        Texts: "list of text",
        Steps: "list of text",
    },
    nothing="nothing",
    not_in_graft="Not with a graft.",
    tables={
        "graft": ("table", "The network, [below](#a-graft).", "there must be a `model`"),
        "chapter": ("table", "What another got, shown beside the result.", "nothing"),
    },
    texts={},
    words={
        "model": "there must be a `[graft]`",
        "data": "2 classes",
        "freeze": "only the head trains",
        "unfreeze": "only the head trains",
    },
)

CHINESE = Language(
    head=("键", "类型", "含义", "省略时"),
    types={
        str: "文本",
        int: "整数",
        float: "数",
        bool: "true 或 false",
        Texts: "文本列表",
        Steps: "文本列表",
    },
    nothing="不显示",
    not_in_graft="不能用于嫁接。",
    tables={
        "graft": ("表", "网络本身，见[下文](#嫁接)。", "必须有 `model`"),
        "chapter": ("表", "别人得到的结果，显示在自己的结果旁边。", "不显示"),
    },
    texts={
        "title": "训练的是什么，与结果一起显示。",
        "example": "教材中的例题编号。",
        "data": "适用的图像：flowers（`budwood inspect` 按 5 个类别显示）或 catdog（2 个）。",
        "model": "骨干网络，`budwood models` 列出全部名称。",
        "weights": "公布的预训练权重的名称、.pth 或 .safetensors 文件，或 none（随机权重）。",
        "freeze": "不训练名称匹配的层，例如 `layer4*`；先执行全部 `freeze`，再执行 `unfreeze`。",
        "unfreeze": "训练名称匹配的层，例如 `layer4*`。",
        "head": "分类头：一个线性层，或各隐藏层为这些宽度的多层感知机。",
        "aux_heads": "保留 GoogLeNet 和 Inception 的辅助分类器，并训练它们的最后一层。",
        "size": "输入大小。",
        "test_fraction": "图像尚未划分出测试集时，留作测试集的比例。",
        "seed": "随机种子：种子相同，结果相同。",
        "fit": "算法：logistic 用逻辑回归把线性分类头拟合到最优；sgd 用 `optimizer` 按小批量训练；"
        "auto 在只训练线性分类头时取 logistic，其他情况或给出 `epochs` 时取 sgd。",
        "epochs": "训练的代数。",
        "lr": "学习率的峰值。",
        "batch_size": "一个小批量的图像数。",
        "optimizer": "优化算法；sgd 的动量为 0.9。",
        "schedule": "学习率调度；cosine 按余弦衰减到零。",
        "patience": "早停：验证损失连续多少代没有改善就停止训练。",
        "test_top1": "测试图像上的准确率。",
        "train_top1": "训练图像上的准确率。",
        "train_images": "训练图像数。",
        "test_images": "测试图像数。",
        "seconds": "用时（秒）。",
        "device": "在什么设备上运行。",
        "differs": "这里有哪些不同做法及其原因，各写一句。",
    },
    words={
        "model": "必须有 `[graft]`",
        "data": "2 个类别",
        "freeze": "只训练分类头",
        "unfreeze": "只训练分类头",
        "size": "权重所要求的大小",
        "patience": "不停止",
    },
)


def keys_table(language: Language, cls: type = Settings) -> str:
    """The keys of a recipe, as Markdown."""
    return _markdown(language.head, _key_rows(language, cls))


def config_section(cls: type = Settings) -> str:
    """An example of `config.json` and its fields, as docs/json.md has them."""
    example = json.dumps(cls(data=Path("flowers")).to_json())
    rows = ((f"`{name}`", _json_type(each), each.text) for name, each in settings_of(cls).items())
    return f"```json\n{_wrapped(example)}\n```\n\n{_markdown(('field', 'type', 'meaning'), rows)}"


def inserted(page: str, text: str) -> str:
    """A page with a text between its marks."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{text}\n\n{END}{after}"


def pages() -> dict[Path, str]:
    """Every page that has such a table, as it should be."""
    texts = {
        DOCS / "recipes.md": keys_table(ENGLISH),
        DOCS / "zh" / "recipes.md": keys_table(CHINESE),
        DOCS / "json.md": config_section(),
    }
    return {path: inserted(path.read_text("utf-8"), text) for path, text in texts.items()}


def _key_rows(language: Language, cls: type) -> Iterator[tuple[str, ...]]:
    for key, each in {**settings_of(Recipe), **recipe_keys("", cls)}.items():
        yield _key_row(key, key, each, language)
    for key, each in recipe_keys("training", cls).items():
        yield _key_row(f"training.{key}", key, each, language)
    for table, (kind, text, left_out) in language.tables.items():
        yield f"`[{table}]`", kind, text, left_out
    for key, each in settings_of(Chapter).items():
        yield _key_row(f"chapter.{key}", key, each, language)


def _key_row(name: str, key: str, each: Setting, language: Language) -> tuple[str, ...]:
    text = language.texts[key] if language.texts else each.parts.get(key, each.help)
    text += f" {language.not_in_graft}" if each.not_in_graft else ""
    kind = " / ".join(f"`{c}`" for c in each.choices) or language.types[each.type]
    default = each.usual if each.default is None else each.default
    left_out = language.words.get(key) or (
        language.nothing if default in (None, "", ()) else str(default).replace("False", "false")
    )
    return f"`{name}`", kind, text, left_out


def _json_type(each: Setting) -> str:
    names = {bool: "boolean", int: "integer", float: "number", Steps: "list", dict: "object"}
    return names.get(each.type, "string") + (" or null" if each.is_optional else "")


def _markdown(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in row] for row in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _wrapped(text: str) -> str:
    lines = [""]
    for part in text.split(", "):
        lines = [*lines, " "] if len(lines[-1]) + len(part) > 96 else lines
        lines[-1] += f"{part}, "
    return "\n".join(lines).removesuffix(", ").replace(", \n", ",\n")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
        print(f"{path} is written")
