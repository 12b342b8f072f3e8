"""A dream server from docs/remote.md alone: nothing of worldsim is imported, it could as well be in another language.

It shows the last frame, darker: python remote_last_frame.py PORT
"""

import sys

import msgpack
from websockets.sync.server import serve

SIDE = 32
BUTTONS = ["attack", "back", "forward", "jump", "left", "right", "sneak", "sprint", "use"]
ACTIONS = {
    "family": "minecraft",
    "fields": [{"name": name, "kind": "discrete", "n": 2} for name in BUTTONS[:2]]
    + [
        {
            "name": "camera",
            "kind": "box",
            "low": [-180.0, -180.0],
            "high": [180.0, 180.0],
            "shape": [2],
            "dtype": "float32",
        }
    ]
    + [{"name": name, "kind": "discrete", "n": 2} for name in BUTTONS[2:]],
}
SPEC = {
    "name": "last frame",
    "action_spec": ACTIONS,
    "size": SIDE,
    "histories": [8, 112],
    "window": 8,
    "poseless": "it uses no pose",
}


def frame_of(array, row):
    """The bytes of one picture of an array of them."""
    size = SIDE * SIDE * 3
    return array["data"][row * size :][:size]


def as_array(data):
    return {"dtype": "uint8", "shape": [SIDE, SIDE, 3], "data": data}


def talk(socket):
    """One connection: what is shown last, by the number of the dream."""
    hello = {
        "type": "hello",
        "version": 1,
        "title": "last frame",
        "device": "any",
        "fingerprint": "last frame 1",
        "spec": SPEC,
    }
    socket.send(msgpack.packb(hello))
    last, number = {}, 0
    for data in socket:
        asked = msgpack.unpackb(data)
        kind, answer = asked["type"], {}
        if kind == "open":
            answer = {"model": 1, "spec": SPEC}
        elif kind == "begin":
            number += 1
            last[number] = frame_of(asked["frames"], asked["frames"]["shape"][0] - 1)
            answer = {"state": number, "about": {"memory_frames": 1, "memory_latents": 0}}
        elif kind == "step":
            shown = []
            for row in asked["rows"]:
                last[row["state"]] = bytes(max(0, value - 1) for value in last[row["state"]])
                shown.append(as_array(last[row["state"]]))
            answer = {
                "frames": shown,
                "abouts": [{"memory_frames": 1, "memory_latents": 0}] * len(shown),
                "ms": {},
            }
        elif kind == "correct":
            last[asked["state"]] = frame_of(asked["frames"], asked["frames"]["shape"][0] - 1)
            answer = {"about": {"memory_frames": 1, "memory_latents": 0}}
        elif kind in ("save", "load"):
            socket.send(msgpack.packb({"type": "refused", "id": asked["id"], "reason": "it keeps no states"}))
            continue
        if asked.get("id") is not None:
            socket.send(msgpack.packb({"type": "done", "id": asked["id"], **answer}))


if __name__ == "__main__":
    with serve(talk, "127.0.0.1", int(sys.argv[1]), max_size=2**26, compression=None) as server:
        server.serve_forever()
