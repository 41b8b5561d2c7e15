"""The words of the tables in Chinese, as the course has them."""

import re

_WORDS = {
    "layer": "网络层",
    "input shape": "输入形状",
    "operation": "操作",
    "output shape": "输出形状",
    "size": "特征图大小计算依据",
    "parameters": "参数量",
    "total": "合计",
    "part": "部分",
    "share": "占比",
    "multiply-adds": "乘加次数",
    "network": "网络",
    "published": "公布值",
    "paper": "论文",
    "course": "课程表格",
    "name": "名称",
    "weights of": "可用权重",
    "map of S2": "S2 特征图",
    "read by": "被读取次数",
    "maps": "特征图大小",
    "layers with weights": "带参数的层数",
    "convolutions": "卷积",
    "receptive field": "感受野",
    "ReLUs": "ReLU 个数",
    "block": "模块",
    "3x3 reduce": "3×3 降维",
    "5x5 reduce": "5×5 降维",
    "pool proj": "池化投影",
    "parameters (K)": "参数量 (K)",
    "paper (K)": "论文 (K)",
    "multiply-adds (M)": "乘加次数 (M)",
    "paper (M)": "论文 (M)",
    "paper (G)": "论文 (G)",
    "torchvision (G)": "torchvision (G)",
    "module": "模块",
    "maps read": "输入通道数",
    "maps given": "输出通道数",
    "naive: parameters": "原始版本：参数量",
    "v1: parameters": "v1：参数量",
    "naive: multiply-adds": "原始版本：乘加次数",
    "v1: multiply-adds": "v1：乘加次数",
    "saved": "节省",
    "whole network": "整个网络",
    "stage": "阶段",
    "output size": "输出大小",
    "2015: output shape": "2015：输出形状",
    "2015: multiply-adds": "2015：乘加次数",
    "v1.5: output shape": "v1.5：输出形状",
    "v1.5: multiply-adds": "v1.5：乘加次数",
    "more": "增加",
    "layers": "层数",
    "identity shortcuts": "恒等捷径",
    "projection shortcuts": "投影捷径",
    "plain: parameters": "普通网络：参数量",
    "residual: parameters": "残差网络：参数量",
    "plain: top-1 error": "普通网络：top-1 错误率",
    "residual: top-1 error": "残差网络：top-1 错误率",
    "input size": "输入大小",
    "channels": "通道数",
    "blocks": "块数",
    "against B0": "与 B0 之比",
    "phi": "φ",
    "2 to the phi": "2 的 φ 次方",
    "width": "宽度",
    "depth": "深度",
    "resolution": "分辨率",
    "dropout": "Dropout 概率",
    "all three": "三者同时",
}

_PHRASES = {
    r"(\d+) layers": r"\1 层",
    r"maps of (\S+)": r"\1 的特征图",
    r"width × (\S+)": r"宽度 × \1",
    r"depth × (\S+)": r"深度 × \1",
    r"resolution (\d+)": r"分辨率 \1",
    r"(\d) × (\d+x\d+) convolution": r"\1 层 \2 卷积",
    r"(\d+x\d+) convolution": r"\1 卷积",
    r"(\d+x\d+) depthwise convolution": r"\1 逐通道卷积",
    r"(\d+x\d+) max pooling": r"\1 最大池化",
    r"(\d+x\d+) average pooling": r"\1 平均池化",
    r"adaptive average pooling to (\S+)": r"自适应平均池化，输出 \1",
    r"(\d+) channels": r"输出通道数为 \1",
    r"stride (\S+)": r"步长为 \1",
    r"padding (\S+)": r"填充为 \1",
    r"(\d+) groups": r"分 \1 组",
    r"any size to (\d+)": r"任意大小变为 \1",
    "local response normalisation": "局部响应归一化",
    "batch normalisation": "批归一化",
    r"padding for stride (\d)": r"按步长 \1 补零",
    "linear": "全连接",
    "flatten": "扁平化",
    r"sum of (\d+x\d+)": r"\1 求和",
    "times a coefficient": "乘以系数",
    "plus a bias": "加偏置",
    "each reads some maps": "每个通道只读部分特征图",
    "minus the squared distance from a fixed code": "与固定编码的距离平方取负",
}
"""Parts of a cell, which commas separate."""

_SAME = re.compile(r"`[^`]*`|<br>|conv\d-\d+|MBConv\d|torchvision|timm|floor|ceil")
"""What is written alike in both languages."""


def in_chinese(cell: str) -> str:
    """A cell of a table in Chinese.

    Raises:
        ValueError: If it has words that are not in the lists above.

    Example:
        >>> in_chinese("5x5 convolution, 256 channels, stride 1, padding 2")
        '5×5 卷积，输出通道数为 256，步长为 1，填充为 2'
    """
    if cell in _WORDS:
        return _WORDS[cell]
    if not re.search("[a-z]{2}", _SAME.sub("", cell)):
        return _times(cell)
    return "，".join(_times(_phrase(part)) for part in cell.split(", "))


def _phrase(part: str) -> str:
    for english, chinese in _PHRASES.items():
        if found := re.fullmatch(english, part):
            return found.expand(chinese)
    raise ValueError(f"tools/network_docs/chinese.py has no words for {part!r}.")


def _times(text: str) -> str:
    return re.sub(r"(?<=\d)x(?=\d)", "×", text)
