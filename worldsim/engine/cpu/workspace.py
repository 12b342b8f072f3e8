"""What a pass of a network over tokens writes, allocated once."""

from __future__ import annotations

import torch


class Workspace:
    """Of a pass over T frames of B dreams, of so many ``tokens`` each; rows lie by frame, dream and token."""

    def __init__(self, b: int, t: int, tokens: int, heads: int, width: int, places: int) -> None:
        rows, head = t * b * tokens, width // heads
        self.frames = t
        self.x, self.h = torch.zeros(rows, width), torch.zeros(rows, width)
        queries = torch.zeros(b, heads, t, tokens, head)
        self.queries = queries.view(b * heads, t * tokens, head)
        self.logits = torch.zeros(b * heads, t * tokens, places * tokens)
        self.probabilities = torch.zeros_like(self.logits)
        self.attended = torch.zeros(b * heads, t * tokens, head)
        self.attended_by_row = self.attended.view(b, heads, t, tokens, head).permute(2, 0, 3, 1, 4)
        self.h_by_head = self.h.view(t, b, tokens, heads, head)
        self.x_array, self.h_array, self.queries_array = self.x.numpy(), self.h.numpy(), queries.numpy()
