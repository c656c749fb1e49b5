"""What a loop sounds like, in a word, from the classes that YAMNet hears in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SOUNDS: dict[str, tuple[int, ...]] = {
    # Plucked string instrument; Guitar; Electric guitar; Acoustic guitar; Steel guitar, slide guitar;
    # Tapping (guitar technique); Strum; Banjo; Mandolin; Ukulele
    "a guitar": (134, 135, 136, 138, 139, 140, 141, 142, 144, 146),
    # Bass guitar; Double bass
    "a bass": (137, 189),
    # Drum kit; Drum machine; Drum; Snare drum; Rimshot; Drum roll; Bass drum; Timpani; Cymbal; Hi-hat
    "drums": (157, 158, 159, 160, 161, 162, 163, 164, 166, 167),
    # Cowbell; Rattle; Tabla; Wood block; Tambourine; Rattle (instrument); Maraca; Gong; Steelpan
    "percussion": (87, 130, 165, 168, 169, 170, 171, 172, 178),
    # Piano; Electric piano; Harpsichord
    "a piano": (148, 149, 155),
    # Organ; Electronic organ; Hammond organ
    "an organ": (150, 151, 152),
    # Synthesizer; Sampler; Theremin
    "a synth": (153, 154, 208),
    # Orchestra; Bowed string instrument; String section; Violin, fiddle; Pizzicato; Cello
    "strings": (179, 184, 185, 186, 187, 188),
    # Brass instrument; French horn; Trumpet; Trombone
    "brass": (180, 181, 182, 183),
    # Saxophone; Clarinet
    "a saxophone": (192, 193),
    # Wind instrument, woodwind instrument; Flute
    "a flute": (190, 191),
    # Zither; Harp
    "a harp": (145, 194),
    # Sitar
    "a sitar": (143,),
    # Mallet percussion; Marimba, xylophone; Glockenspiel; Vibraphone
    "mallets": (174, 175, 176, 177),
    # Bell; Church bell; Jingle bell; Bicycle bell; Tuning fork; Chime; Wind chime; Change ringing
    # (campanology); Singing bowl; Doorbell; Ding-dong; Ding; Jingle, tinkle
    "bells": (195, 196, 197, 198, 199, 200, 201, 202, 209, 349, 350, 477, 489),
    # Harmonica; Accordion
    "an accordion": (203, 204),
    # Bagpipes
    "bagpipes": (205,),
    # Didgeridoo
    "a didgeridoo": (206,),
    # Scratching (performance technique)
    "a turntable": (210,),
    # Speech; Child speech, kid speaking; Conversation; Narration, monologue; Babbling; Speech
    # synthesizer; Shout; Bellow; Whoop; Yell; Children shouting; Screaming; Whispering; Crying,
    # sobbing; Baby cry, infant cry; Whimper; Wail, moan; Sigh; Singing; Choir; Yodeling; Chant; Mantra;
    # Child singing; Synthetic singing; Rapping; Humming; Groan; Grunt; Beatboxing; Vocal music; A
    # capella
    "a voice": (
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
        31, 32, 33, 34, 213, 249, 250,
    ),
    # Laughter; Baby laughter; Giggle; Snicker; Belly laugh; Chuckle, chortle
    "laughter": (13, 14, 15, 16, 17, 18),
    # Whistling; Whistle
    "whistling": (35, 396),
    # Hands; Finger snapping; Clapping
    "claps": (56, 57, 58),
    # Cheering; Applause; Chatter; Crowd; Hubbub, speech noise, speech babble; Children playing
    "a crowd": (61, 62, 63, 64, 65, 66),
    # Run; Shuffle; Walk, footsteps
    "footsteps": (46, 47, 48),
    # Dog; Bark; Yip; Howl; Bow-wow; Growling; Whimper (dog); Cat; Purr; Meow; Caterwaul; Horse;
    # Clip-clop; Neigh, whinny; Cattle, bovinae; Moo; Pig; Oink; Goat; Bleat; Sheep; Chicken, rooster;
    # Cluck; Crowing, cock-a-doodle-doo; Turkey; Gobble; Duck; Quack; Goose; Roaring cats (lions,
    # tigers); Roar; Canidae, dogs, wolves; Frog; Croak; Whale vocalization
    "an animal": (
        69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 80, 82, 83, 84, 85, 86, 88, 89, 90, 91, 92, 94, 95,
        96, 97, 98, 99, 100, 101, 104, 105, 117, 127, 128, 131,
    ),
    # Bird; Bird vocalization, bird call, bird song; Chirp, tweet; Squawk; Pigeon, dove; Coo; Crow; Caw;
    # Owl; Hoot; Bird flight, flapping wings
    "birds": (106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116),
    # Insect; Cricket; Mosquito; Fly, housefly; Buzz; Bee, wasp, etc.
    "insects": (121, 122, 123, 124, 125, 126),
    # Wind; Rustling leaves; Wind noise (microphone)
    "wind": (277, 278, 279),
    # Thunderstorm; Thunder
    "thunder": (280, 281),
    # Water; Rain; Raindrop; Rain on surface; Stream; Waterfall; Ocean; Waves, surf; Gurgling; Water
    # tap, faucet; Sink (filling or washing); Bathtub (filling or washing); Toilet flush; Liquid;
    # Splash, splatter; Slosh; Drip; Pour; Trickle, dribble; Gush; Fill (with liquid); Spray; Pump
    # (liquid); Boiling
    "water": (
        282, 283, 284, 285, 286, 287, 288, 289, 291, 364, 365, 366, 368, 438, 439, 440, 442, 443,
        444, 445, 446, 447, 448, 450,
    ),
    # Fire; Crackle
    "a fire": (292, 293),
    # Vehicle; Boat, Water vehicle; Motorboat, speedboat; Ship; Motor vehicle (road); Car; Car passing
    # by; Race car, auto racing; Truck; Bus; Motorcycle; Traffic noise, roadway noise; Aircraft;
    # Aircraft engine; Jet engine; Propeller, airscrew; Helicopter; Fixed-wing aircraft, airplane;
    # Engine; Light engine (high frequency); Lawn mower; Medium engine (mid frequency); Heavy engine
    # (low frequency); Engine knocking; Engine starting; Idling; Accelerating, revving, vroom
    "an engine": (
        294, 295, 298, 299, 300, 301, 308, 309, 310, 315, 320, 321, 329, 330, 331, 332, 333, 334,
        337, 338, 340, 342, 343, 344, 345, 346, 347,
    ),
    # Rail transport; Train; Railroad car, train wagon; Train wheels squealing; Subway, metro,
    # underground
    "a train": (322, 323, 326, 327, 328),
    # Dental drill, dentist's drill; Chainsaw; Blender; Hair dryer; Electric toothbrush; Vacuum cleaner;
    # Electric shaver, electric razor; Mechanisms; Ratchet, pawl; Gears; Pulleys; Sewing machine;
    # Mechanical fan; Air conditioning; Printer; Whir
    "a machine": (339, 341, 363, 367, 370, 371, 376, 398, 399, 403, 404, 405, 406, 407, 409, 482),
    # Tools; Hammer; Jackhammer; Sawing; Filing (rasp); Sanding; Power tool; Drill
    "tools": (412, 413, 414, 415, 416, 417, 418, 419),
    # Clock; Tick; Tick-tock
    "a clock": (400, 401, 402),
    # Typing; Typewriter; Computer keyboard
    "typing": (378, 379, 380),
    # Car alarm; Reversing beeps; Emergency vehicle; Police car (siren); Ambulance (siren); Fire engine,
    # fire truck (siren); Alarm; Telephone; Telephone bell ringing; Ringtone; Telephone dialing, DTMF;
    # Dial tone; Busy signal; Alarm clock; Siren; Civil defense siren; Buzzer; Smoke detector, smoke
    # alarm; Fire alarm; Beep, bleep
    "an alarm": (
        304, 313, 316, 317, 318, 319, 382, 383, 384, 385, 386, 387, 388, 389, 390, 391, 392, 393,
        394, 475,
    ),
    # Vehicle horn, car horn, honking; Toot; Air horn, truck horn; Train whistle; Train horn; Foghorn;
    # Steam whistle
    "a car horn": (302, 303, 312, 324, 325, 395, 397),
    # Door; Sliding door; Slam
    "a door": (348, 351, 352),
    # Knock; Tap; Thump, thud; Thunk
    "a knock": (353, 354, 454, 455),
    # Explosion; Gunshot, gunfire; Machine gun; Fusillade; Artillery fire; Cap gun; Fireworks;
    # Firecracker; Burst, pop; Eruption; Boom; Bang
    "a bang": (420, 421, 422, 423, 424, 425, 426, 427, 428, 429, 430, 460),
    # Glass; Chink, clink; Shatter
    "glass": (435, 436, 437),
    # Dishes, pots, and pans; Cutlery, silverware; Keys jangling; Coin (dropping); Clang
    "metal": (358, 359, 373, 374, 478),
    # Crushing; Crumpling, crinkling; Tearing
    "paper": (472, 473, 474),
    # Wood; Chop; Splinter
    "wood": (431, 432, 433),
    # Arrow; Whoosh, swoosh, swish
    "a whoosh": (452, 453),
    # Hiss; Steam; Noise; Environmental noise; Static; White noise; Pink noise
    "noise": (79, 290, 507, 508, 509, 514, 515),
    # Hum; Mains hum
    "a hum": (490, 510),
}  # fmt: skip
"""Words, and the places of YAMNet's classes (AudioSet's, in YAMNet's order) that stand for each.

Classes that name no sound (moods, styles, rooms, effects, silence), classes above several words (music,
animals, percussion, keyboards; but plucked strings are nearly always a guitar) and sounds of the body are
left out: better no word than a foolish one."""
_GUITAR, _BASS = "a guitar", "a bass"
_ALIKE = (_GUITAR, _BASS)
"""YAMNet hears a low guitar and a bass nearly alike, so these two need not be clear of each other."""
_LOWEST_OF_A_GUITAR_MIDI = 38.5  # its lowest string is an E2, 40; D2 and lower is tuned down, or a bass
_HIGHEST_OF_A_BASS_MIDI = 57.0
_CLEAR = 1.25  # how far the first word must be ahead of the second
_HEARD = 0.3  # how much of all that is heard the first word must be, lest something faint wins by default


def by_register(sound: str | None, low_midi: float | None, high_midi: float | None) -> str | None:
    """Call a guitar a bass if it plays where only a bass does.

    Parameters
    ----------
    sound : str or None
        From `sounds_of`.
    low_midi, high_midi : float or None
        Between them lies nearly all that the loop plays; None where it has no pitch.
    """
    if sound != _GUITAR or low_midi is None or high_midi is None:
        return sound
    is_low = low_midi < _LOWEST_OF_A_GUITAR_MIDI and high_midi < _HIGHEST_OF_A_BASS_MIDI
    return _BASS if is_low else sound


def sounds_of(classes: npt.NDArray[np.floating]) -> list[str | None]:
    """Return what each loop sounds like.

    Parameters
    ----------
    classes : ndarray of shape (n_loops, 521)
        Square roots of YAMNet's probabilities, in any one unit for each loop.

    Returns
    -------
    sounds : list of str or None
        A key of `SOUNDS`; None where no word is clearly ahead.
    """
    words = list(SOUNDS)
    heard = np.maximum(classes, 0.0)  # as recovered from an embedding, what is near zero may be below it
    # YAMNet spreads a sound over its class and those above it (a strum is a guitar and a plucked string too),
    # so a word is as strong as its classes together: the root of their summed probabilities.
    together = [np.linalg.norm(heard[:, list(places)], axis=1) for places in SOUNDS.values()]
    strength = np.stack(together, axis=1)
    best = strength.argmax(axis=1)
    first = strength.max(axis=1)
    np.put_along_axis(strength, best[:, None], 0.0, axis=1)
    alike = np.array([words.index(word) for word in _ALIKE])
    strength[np.ix_(np.flatnonzero(np.isin(best, alike)), alike)] = 0.0
    is_clear = (first > _CLEAR * strength.max(axis=1)) & (first > _HEARD * np.linalg.norm(heard, axis=1))
    return [words[place] if clear else None for place, clear in zip(best, is_clear, strict=True)]
