"""Opens saved models where there is no paravox; `transformers_versions.py` runs it in other environments.

    python open_saved_models.py FOLDER_OR_NAME ... < clips.json

It is run with the Python of an environment that is to be tried, and prints one JSON object per model: what the model
predicts for the clips on its standard input, by the model itself and by its pipeline, or the error.
"""

import json
import sys

import numpy as np
import torch
import transformers
from transformers import AutoFeatureExtractor, AutoModel, pipeline

RATE = 16_000


def main() -> None:
    clips = [np.array(samples, np.float32) for samples in json.load(sys.stdin)]
    for place in sys.argv[1:]:
        try:
            found = {"transformers": transformers.__version__, **predict(place, clips)}
        except Exception as error:  # whatever it is, it is the answer
            found = {"transformers": transformers.__version__, "error": f"{type(error).__name__}: {str(error)[:300]}"}
        print(json.dumps(found), flush=True)


def predict(place: str, clips: list[np.ndarray]) -> dict:
    model = AutoModel.from_pretrained(place, trust_remote_code=True)
    extractor = AutoFeatureExtractor.from_pretrained(place, trust_remote_code=True)
    with torch.inference_mode():
        output = model(**extractor([(clip, RATE) for clip in clips], return_tensors="pt"))
    analyse = pipeline("vocal-burst-analysis", model=place, trust_remote_code=True)
    return {
        "predictions": {task: values.tolist() for task, values in outputs_of(output).items()},
        "records": analyse([{"array": clip, "sampling_rate": RATE} for clip in clips]),
    }


def outputs_of(output: dict) -> dict:
    """What a pipeline shows of a model's output: calibrated where the model is, and how unusual the clips are."""
    outputs = dict(output.get("calibrated", output.predictions))
    return outputs if output.get("unusual") is None else outputs | {"unusual": output.unusual}


if __name__ == "__main__":
    main()
