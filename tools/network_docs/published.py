"""What papers, the course and other libraries print about the classic networks, to compare with.

Nothing here is computed; what is computed stands beside it in the tables. Multiply-adds are what
papers and torchvision call FLOPs.

Sources: LeCun et al. 1998, section II.B; Simonyan and Zisserman 2014, table 2; Szegedy et al. 2014,
table 1; He et al. 2015, tables 1 and 2; Tan and Le 2019, table 2; torchvision's documentation.
"""

LENET = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 0}
"""Trainable parameters of each layer of LeNet-5."""

ALEXNET_COURSE = {"conv1": 34_944, "conv2": 221_440, "conv3": 885_120, "conv4": 1_327_488}
ALEXNET_COURSE |= {"conv5": 884_992, "fc1": 37_752_832, "fc2": 16_781_312, "fc3": 4_097_000}
"""Parameters of each layer of AlexNet, as the course's table has them."""

TOTALS = {
    "lenet5_1998": ("60,000", "-"),
    "alexnet": ("61,100,840", "0.714 G"),
    "vgg_a": ("133 M", "7.609 G"),
    "vgg_a_lrn": ("133 M", "-"),
    "vgg_b": ("133 M", "11.308 G"),
    "vgg_c": ("134 M", "-"),
    "vgg_d": ("138 M", "15.47 G"),
    "vgg_e": ("144 M", "19.632 G"),
    "googlenet": ("6,624,904", "1.498 G"),
}
"""Parameters and multiply-adds of whole networks: parameters of Budwood's own from the papers, the
rest from torchvision."""

GOOGLENET = {
    "conv1": (2.7, 34),
    "conv3": (112, 360),
    "3a": (159, 128),
    "3b": (380, 304),
    "4a": (364, 73),
    "4b": (437, 88),
    "4c": (463, 100),
    "4d": (580, 119),
    "4e": (840, 170),
    "5a": (1072, 54),
    "5b": (1388, 71),
    "fc": (1000, 1),
}
"""Parameters in K, which is 1024, and multiply-adds in millions. The row of the 3x3 convolution
counts the 1x1 before it."""

RESNET = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}
"""Multiply-adds in thousand millions."""

RESNET_V15 = {50: 4.089, 101: 7.801, 152: 11.514}
"""The same of torchvision's."""

RESNET_ERRORS = {18: (27.94, 27.88), 34: (28.54, 25.03)}
"""Top-1 error in percent on ImageNet's validation photos, ten crops each: plain, with shortcuts."""

EFFICIENTNET = {
    "b0": (5.3, 0.39),
    "b1": (7.8, 0.70),
    "b2": (9.2, 1.0),
    "b3": (12, 1.8),
    "b4": (19, 4.2),
    "b5": (30, 9.9),
    "b6": (43, 19),
    "b7": (66, 37),
}
"""Parameters in millions, multiply-adds in thousand millions. B8 and L2 came later."""
