"""Drum grooves in General MIDI keys: styles on a sixteenth grid, with ghost notes, variation and fills."""

import numpy as np

from pretraining.music import Note, Song

KICK, SNARE, RIM, CLAP, SNARE_2 = 36, 38, 37, 39, 40
HAT, PEDAL_HAT, OPEN_HAT, RIDE, CRASH, BELL = 42, 44, 46, 51, 49, 53
TOMS = (41, 43, 45, 47, 48, 50)

GROOVES: dict[str, dict[int, str]] = {
    "rock": {KICK: "x.......x.x.....", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
    "rock_2": {KICK: "x..x....x..x....", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
    "rock_ride": {KICK: "x.....x.x.......", SNARE: "....x.......x...", RIDE: "x.x.x.x.x.x.x.x."},
    "half_time": {KICK: "x.....x.........", SNARE: "........x.......", HAT: "x.x.x.x.x.x.x.x."},
    "funk": {KICK: "x.x...x...x..x..", SNARE: "....x..g.g..x..g", HAT: "xxxxxxxxxxxxxxxx"},
    "funk_2": {KICK: "x..x..x...x.....", SNARE: "g...x.g..g..x.g.", HAT: "x.x.x.x.x.x.xoxx"},
    "house": {KICK: "x...x...x...x...", CLAP: "....x.......x...", OPEN_HAT: "..x...x...x...x.",
        HAT: "x.g.x.g.x.g.x.g."},
    "techno": {KICK: "x...x...x...x...", HAT: "..x...x...x...x.", RIM: "...x..x....x..x."},
    "disco": {KICK: "x...x...x...x...", SNARE: "....x.......x...", HAT: "x.xxx.xxx.xxx.xx",
        OPEN_HAT: "..x...x...x...x."},
    "hiphop": {KICK: "x.....xx..x.....", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
    "boombap": {KICK: "x.x....x..x.....", SNARE: "....x.......x..g", HAT: "x.x.x.x.x.x.x.x.",
        OPEN_HAT: "..............x."},
    "trap": {KICK: "x......x..x.....", SNARE: "........x.......", HAT: "x.x.xxx.x.x.xxxx"},
    "dnb": {KICK: "x.........x.....", SNARE: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
    "breakbeat": {KICK: "x.x.......xx....", SNARE: "....x..x.x..x..x", RIDE: "x.x.x.x.x.x.x.x."},
    "one_drop": {KICK: "........x.......", RIM: "........x.......", HAT: "x.x.x.x.x.x.x.x."},
    "dancehall": {KICK: "x..x..x.x..x..x.", SNARE: "...x..x....x..x.", HAT: "x.x.x.x.x.x.x.x."},
    "bossa": {KICK: "x..xx..xx..xx..x", RIM: "x..x..x...x..x..", HAT: "x.x.x.x.x.x.x.x."},
    "samba": {KICK: "x..xx..xx..xx..x", SNARE: "x.xx.x.xx.xx.x.x", HAT: "..x...x...x...x."},
    "latin": {63: "..xx..x...xx..x.", 64: "x.......x.......", 56: "x...x.x.x...x.x.", 75: "x..x..x...x.x..."},
    "congas": {63: "x..x..x.x..x..x.", 64: "......x.......xx", 62: "..x.....x.x....."},
    "bongos": {60: "x.xgx.xgx.xgx.xg", 61: "......x.......x.", 69: "xxxxxxxxxxxxxxxx"},
    "shakers": {70: "xgxgxgxgxgxgxgxg", 54: "....x.......x..."},
    "jazz": {RIDE: "x...x..xx...x..x", PEDAL_HAT: "....x.......x...", KICK: "x.........g.....",
        SNARE: ".......g......g."},
    "metal": {KICK: "xxxxxxxxxxxxxxxx", SNARE: "....x.......x...", CRASH: "x...x...x...x..."},
    "blast": {KICK: "x.x.x.x.x.x.x.x.", SNARE: ".x.x.x.x.x.x.x.x", RIDE: "x.x.x.x.x.x.x.x."},
    "punk": {KICK: "x..xx.x.x..xx.x.", SNARE: "..x...x...x...x.", OPEN_HAT: "x.x.x.x.x.x.x.x."},
    "toms": {KICK: "x.......x.......", 41: "x..x..x.........", 45: "........x..x..x.",
        50: "..........x...x."},
    "march": {SNARE: "x.xxx.x.x.xxxxxx", KICK: "x...x...x...x..."},
    "hats_only": {HAT: "x.xxx.xxx.xxx.xx", OPEN_HAT: "......x........."},
    "kick_only": {KICK: "x...x...x...x..."},
    "electro": {KICK: "x.....x...x.....", SNARE: "....x.......x...", HAT: "xxxxxxxxxxxxxxxx",
        56: "..x..x....x..x.."},
    "garage": {KICK: "x.........x..x..", CLAP: "....x.......x...", HAT: "..x..xx...x..x.x"},
    "reggaeton": {KICK: "x...x...x...x...", SNARE: "...x..x....x..x."},
    "ballad": {KICK: "x.......x.......", RIM: "....x.......x...", HAT: "x...x...x...x..."},
}  # fmt: skip

VELOCITIES = {"x": 100.0, "g": 42.0, "o": 90.0}
STEP = 0.25


def _euclid(rng: np.random.Generator) -> dict[int, str]:
    """Spread random numbers of hits evenly over the bar for random instruments."""
    keys = rng.choice(
        [KICK, SNARE, HAT, RIDE, CLAP, RIM, 41, 45, 50, 54, 56, 60, 63, 69, 70, 75, 76], 3, replace=False
    )
    lanes: dict[int, str] = {}
    for key in keys:
        n_hits, turn = int(rng.integers(2, 10)), int(rng.integers(16))
        lanes[int(key)] = "".join("x" if ((i + turn) * n_hits) % 16 < n_hits else "." for i in range(16))
    return lanes


def _fill(rng: np.random.Generator, start: float, n_steps: int) -> list[Note]:
    keys = [SNARE, *TOMS[::-1]]
    ordered = np.sort(rng.integers(0, len(keys), n_steps))
    return [
        Note(start + STEP * i, 0.2, keys[key], float(rng.uniform(80, 118)))
        for i, key in enumerate(ordered)
        if rng.random() < 0.85
    ]


def draw_groove(rng: np.random.Generator) -> tuple[str, dict[int, str]]:
    """Draw a style and its lanes, with some lanes dropped, doubled or moved to another instrument."""
    if rng.random() < 0.12:
        return "euclid", _euclid(rng)
    style = list(GROOVES)[rng.integers(len(GROOVES))]
    lanes = dict(GROOVES[style])
    swaps = {
        SNARE: (SNARE_2, CLAP, RIM),
        HAT: (RIDE, 70, 54, 69),
        KICK: (35, 35),
        CLAP: (SNARE, SNARE_2),
        RIDE: (BELL, HAT),
    }
    for key in list(lanes):
        if key in swaps and rng.random() < 0.2:
            lanes[int(rng.choice(swaps[key]))] = lanes.pop(key)
    if len(lanes) > 1 and rng.random() < 0.15:
        lanes.pop(list(lanes)[rng.integers(len(lanes))])
    return style, lanes


def _mutate(rng: np.random.Generator, lane: str, amount: float) -> str:
    symbols = np.array(list(lane))
    changed = rng.random(16) < amount
    symbols[changed] = rng.choice(["x", ".", "g", "."], int(changed.sum()))
    return "".join(symbols)


def drum_groove(rng: np.random.Generator, song: Song) -> tuple[str, list[Note]]:
    """Play a groove over the whole song; return its style and notes."""
    style, lanes = draw_groove(rng)
    lanes = {key: _mutate(rng, lane, rng.uniform(0, 0.12)) for key, lane in lanes.items()}
    level = float(rng.uniform(0.7, 1.15))
    has_fill = rng.random() < 0.35
    n_fill = int(rng.choice([2, 4, 8, 16])) if has_fill else 0
    steps_per_bar = song.beats_per_bar * 4
    n_steps = song.n_bars * steps_per_bar
    variation = float(rng.uniform(0, 0.06))
    notes: list[Note] = []
    for key, lane in lanes.items():
        for step in range(n_steps - n_fill if key not in (HAT, RIDE) else n_steps):
            symbol = lane[step % steps_per_bar % 16]
            if rng.random() < variation:
                symbol = "g" if symbol == "." else "."
            if symbol != ".":
                accent = 8.0 if step % 4 == 0 else 0.0
                sounding = OPEN_HAT if key == HAT and symbol == "o" else key
                notes.append(Note(step * STEP, 0.2, sounding, (VELOCITIES[symbol] + accent) * level))
    if has_fill and n_fill < n_steps:
        notes += _fill(rng, (n_steps - n_fill) * STEP, n_fill)
    if rng.random() < 0.15:
        notes.append(Note(0.0, 1.0, CRASH, 105 * level))
    return style, notes or [Note(0.0, 0.2, KICK, 100.0)]
