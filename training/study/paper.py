"""The numbers of Meta-ARVDM's Tables 1 to 4, as printed: another world, another scale than ours.

Worlds are keyed as ours are: ``labmaze`` stands beside DMLab (SRR), ``blocks`` beside Minecraft (SSIM).
"""

from __future__ import annotations

Settings = tuple[str, int, int | None]  # structure, history, budget (None: not compressed)

COLUMNS_1 = ("0-16", "16-48", "48-112", "avg")
TABLE_1: dict[Settings, dict[str, tuple[float, float, float, float]]] = {
    ("prepend", 16, None): {"labmaze": (0.52, 0.03, 0.00, 0.18), "blocks": (0.75, 0.39, 0.37, 0.50)},
    ("prepend", 48, None): {"labmaze": (0.44, 0.32, 0.00, 0.25), "blocks": (0.74, 0.62, 0.35, 0.57)},
    ("prepend", 112, None): {"labmaze": (0.48, 0.28, 0.23, 0.33), "blocks": (0.72, 0.60, 0.55, 0.62)},
    ("prepend", 48, 8): {"labmaze": (0.28, 0.22, 0.00, 0.17), "blocks": (0.63, 0.53, 0.38, 0.51)},
    ("prepend", 48, 16): {"labmaze": (0.36, 0.25, 0.00, 0.20), "blocks": (0.67, 0.55, 0.37, 0.53)},
    ("prepend", 48, 32): {"labmaze": (0.44, 0.28, 0.00, 0.24), "blocks": (0.70, 0.57, 0.38, 0.55)},
    ("prepend", 48, 48): {"labmaze": (0.40, 0.34, 0.00, 0.25), "blocks": (0.72, 0.61, 0.35, 0.56)},
    ("channel", 16, None): {"labmaze": (0.24, 0.03, 0.00, 0.09), "blocks": (0.61, 0.38, 0.38, 0.46)},
    ("channel", 48, None): {"labmaze": (0.16, 0.19, 0.00, 0.12), "blocks": (0.58, 0.57, 0.37, 0.51)},
    ("channel", 112, None): {"labmaze": (0.12, 0.13, 0.08, 0.11), "blocks": (0.59, 0.56, 0.51, 0.55)},
    ("channel", 48, 8): {"labmaze": (0.16, 0.16, 0.00, 0.11), "blocks": (0.54, 0.53, 0.36, 0.48)},
    ("channel", 48, 16): {"labmaze": (0.20, 0.19, 0.00, 0.13), "blocks": (0.56, 0.54, 0.35, 0.48)},
    ("channel", 48, 32): {"labmaze": (0.24, 0.22, 0.00, 0.15), "blocks": (0.57, 0.56, 0.36, 0.50)},
    ("channel", 48, 48): {"labmaze": (0.28, 0.22, 0.00, 0.17), "blocks": (0.57, 0.57, 0.37, 0.50)},
}

COLUMNS_2 = {"labmaze": ("FVD", "FID"), "blocks": ("FVD", "FID", "TF", "MS")}
TABLE_2: dict[Settings, dict[str, tuple[float | None, ...]]] = {
    ("prepend", 16, None): {"labmaze": (302.59, 80.27), "blocks": (224.30, 75.74, 0.750, 0.853)},
    ("prepend", 48, None): {"labmaze": (308.92, 78.44), "blocks": (222.78, 73.96, 0.754, 0.853)},
    ("prepend", 112, None): {"labmaze": (308.81, 80.45), "blocks": (226.49, 75.78, 0.751, 0.867)},
    ("prepend", 48, 8): {"labmaze": (310.59, 79.50), "blocks": (222.30, 76.36, 0.754, 0.873)},
    ("prepend", 48, 16): {"labmaze": (307.20, 78.35), "blocks": (226.08, 74.43, 0.738, 0.863)},
    ("prepend", 48, 32): {"labmaze": (311.94, 73.65), "blocks": (223.45, 75.35, 0.760, 0.863)},
    ("prepend", 48, 48): {"labmaze": (308.73, 74.37), "blocks": (223.13, 78.50, 0.737, 0.845)},
    # The smoothness of this row cannot be read in our copy of the paper.
    ("channel", 16, None): {"labmaze": (294.01, 71.07), "blocks": (209.12, 71.49, 0.757, None)},
    ("channel", 48, None): {"labmaze": (300.56, 73.40), "blocks": (212.92, 68.43, 0.769, 0.858)},
    ("channel", 112, None): {"labmaze": (298.85, 74.00), "blocks": (206.17, 70.51, 0.762, 0.862)},
    ("channel", 48, 8): {"labmaze": (304.95, 72.84), "blocks": (208.16, 68.44, 0.761, 0.855)},
    ("channel", 48, 16): {"labmaze": (302.86, 74.78), "blocks": (207.02, 68.58, 0.773, 0.859)},
    ("channel", 48, 32): {"labmaze": (296.06, 75.40), "blocks": (214.01, 66.04, 0.770, 0.860)},
    ("channel", 48, 48): {"labmaze": (298.56, 74.02), "blocks": (209.55, 71.40, 0.771, 0.847)},
}

COLUMNS_3 = ("0-16", "16-32", "avg")
TABLE_3: dict[str, dict[str, tuple[float, float, float]]] = {
    "last_16": {"labmaze": (0.520, 0.000, 0.260), "blocks": (0.610, 0.380, 0.495)},
    "last_32_skip_1": {"labmaze": (0.260, 0.154, 0.207), "blocks": (0.510, 0.434, 0.472)},
    "fifo": {"labmaze": (0.123, 0.030, 0.077), "blocks": (0.453, 0.356, 0.405)},
    "outpainting": {"labmaze": (0.100, 0.021, 0.061), "blocks": (0.430, 0.360, 0.395)},
    "gamengen": {"labmaze": (0.214, 0.000, 0.107), "blocks": (0.471, 0.321, 0.396)},
    "streaming_t2v": {"labmaze": (0.263, 0.040, 0.152), "blocks": (0.480, 0.312, 0.396)},
    "soft_compression": {"labmaze": (0.360, 0.250, 0.305), "blocks": (0.561, 0.543, 0.552)},
}

COLUMNS_4 = ("0-16", "16-32", "32-48", "48-64")
TABLE_4: dict[int, dict[str, tuple[tuple[float, float], ...]]] = {  # (mean, spread over 5 seeds), dB
    8: {
        "labmaze": ((10.24, 0.11), (9.47, 0.13), (8.83, 0.14), (7.88, 0.19)),
        "blocks": ((15.25, 0.15), (13.43, 0.17), (11.39, 0.20), (10.29, 0.23)),
    },
    16: {
        "labmaze": ((10.14, 0.10), (8.81, 0.14), (8.24, 0.17), (7.39, 0.21)),
        "blocks": ((15.47, 0.13), (12.92, 0.19), (11.10, 0.23), (9.98, 0.24)),
    },
    32: {
        "labmaze": ((10.46, 0.14), (8.19, 0.13), (7.82, 0.18), (6.83, 0.20)),
        "blocks": ((15.36, 0.16), (12.64, 0.20), (11.01, 0.22), (9.73, 0.26)),
    },
    48: {
        "labmaze": ((10.52, 0.13), (8.00, 0.15), (7.58, 0.18), (6.76, 0.23)),
        "blocks": ((15.46, 0.18), (12.31, 0.19), (10.57, 0.26), (9.47, 0.27)),
    },
}
