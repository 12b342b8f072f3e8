"""The colours of the screen and of videos."""

from worldsim.metrics.retrieval import Band

Colour = tuple[int, int, int]

BACKGROUND: Colour = (18, 20, 24)
CARD: Colour = (28, 31, 37)
LINE: Colour = (52, 57, 66)
TEXT: Colour = (232, 234, 238)
FAINT: Colour = (146, 152, 163)
ACCENT: Colour = (102, 170, 255)
RECORDING: Colour = (235, 64, 64)
BANDS: dict[Band, Colour] = {
    "forgotten": (229, 85, 79),
    "resembling": (235, 183, 63),
    "same": (88, 190, 110),
}
