"""History forgetting of a small hidden-state world, exactly: how much past a step needs to be given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldsim.metrics.theory.information import InformationError, entropy


@dataclass(frozen=True)
class HiddenWorld:
    """A hidden Markov world: states move, each shows an observation.

    Attributes:
        initial: (S,) probability of the first state.
        moves: (S, S) ``moves[a, b]``, probability of going from a to b.
        shows: (S, O) probability of what a state shows.

    Raises:
        InformationError: shapes do not fit, or a row is no distribution.
    """

    initial: NDArray[np.float64]
    moves: NDArray[np.float64]
    shows: NDArray[np.float64]

    def __post_init__(self) -> None:
        states = len(self.initial)
        if self.moves.shape != (states, states) or self.shows.shape[:1] != (states,):
            raise InformationError(
                f"expected {states} states in moves and shows, found {self.moves.shape} and {self.shows.shape}"
            )
        for name, rows in (("initial", self.initial[None]), ("moves", self.moves), ("shows", self.shows)):
            if (rows < 0).any() or not np.allclose(rows.sum(1), 1):
                raise InformationError(
                    f"expected rows of {name} that are distributions, found one that is not"
                )


def landmark_loop(places: int, colours: int = 2, step: float = 1.0) -> HiddenWorld:
    """A loop of places with one landmark, whose colour is drawn once and seen only where it stands.

    The walker starts at the landmark and goes on by one place with probability ``step``, else rests. All other
    places show their number, so a frame tells where the walker is and nothing of the colour: when the landmark
    comes back, only the frames of its last visit can tell how it looked.
    """
    states = [(colour, place) for colour in range(colours) for place in range(places)]
    initial = np.array([1 / colours if place == 0 else 0.0 for _, place in states])
    moves = np.zeros((len(states), len(states)))
    shows = np.zeros((len(states), colours + places - 1))
    for i, (colour, place) in enumerate(states):
        moves[i, states.index((colour, (place + 1) % places))] += step
        moves[i, i] += 1 - step
        shows[i, colour if place == 0 else colours + place - 1] = 1
    return HiddenWorld(initial, moves, shows)


def sequences(world: HiddenWorld, length: int) -> dict[tuple[int, ...], float]:
    """Probability of every sequence of observations that can occur, by enumeration."""
    # forward messages: joint probability of (observations so far, present state)
    messages: dict[tuple[int, ...], NDArray[np.float64]] = {(): world.initial}
    for i in range(length):
        longer: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for observed, message in messages.items():
            arrived = message if i == 0 else message @ world.moves
            for o in range(world.shows.shape[1]):
                joint = arrived * world.shows[:, o]
                if joint.sum() > 0:
                    longer[(*observed, o)] = joint
        messages = longer
    return {observed: float(message.sum()) for observed, message in messages.items()}


def history_forgetting(world: HiddenWorld, length: int) -> list[float]:
    """HF of Eqn. 9 in bits by how many past frames the step is given: h = 0 ... length - 1.

    Output is the last of ``length`` frames, Input the h frames before it, Past all that came before those:
    I(Output; Past | Input). Exact, and falling in h by Proposition 3, to 0 when all of the past is given.

    Raises:
        InformationError: fewer than 1 frame.
    """
    if length < 1:
        raise InformationError(f"expected at least 1 frame, found {length}")
    joint = sequences(world, length)

    def uncertainty(given: int) -> float:
        """H(Output | the last ``given`` frames)."""
        tails: dict[tuple[int, ...], float] = {}
        inputs: dict[tuple[int, ...], float] = {}
        for observed, p in joint.items():
            tail = observed[length - 1 - given :]
            tails[tail] = tails.get(tail, 0.0) + p
            inputs[tail[:-1]] = inputs.get(tail[:-1], 0.0) + p
        return entropy(list(tails.values())) - entropy(list(inputs.values()))

    least = uncertainty(length - 1)
    return [max(0.0, uncertainty(given) - least) for given in range(length)]
