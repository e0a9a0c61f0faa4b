"""What the Hub demands of a model card's front matter and of `.eval_results/`, as far as it is documented.

Each rule names its source: the Hub's documentation (huggingface/hub-docs), lists in huggingface.js, huggingface_hub
2.4, or a message of the real Hub that somebody has quoted in public. A comment says where the Hub may be less strict
than this: a card that passes here should also pass there.
"""

import datetime
import re
from typing import Any

import yaml

# The pattern of huggingface_hub/repocard.py, which says that it is the server's.
_FRONT_MATTER = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")
# huggingface_hub/utils/_validators.py, validate_repo_id.
_REPO_ID = re.compile(r"(\b[\w.-]{1,96}\b/)?\b[\w.-]{1,96}\b", re.ASCII)
# The Hub's own words, quoted in embeddings-benchmark/mteb issue 1111: fails to match the required pattern.
_DATASET_TYPE = re.compile(r"(?:[\w-]+/)?[\w.-]+", re.ASCII)

# hub-docs, docs/hub/repositories-licenses.md; "must be one of" is what the Hub says.
LICENSES = set(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openmdw-1.0 openrail++
    osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license llama2 llama3 llama3.1 llama3.2
    llama3.3 llama4 gemma unknown other
    """.split()
)
# huggingface.js, packages/tasks/src/pipelines.ts. The Hub may only warn of another one.
TASKS = set(
    """
    biology text-classification token-classification table-question-answering question-answering
    zero-shot-classification translation summarization feature-extraction text-generation text2text-generation
    fill-mask sentence-similarity text-to-speech text-to-audio automatic-speech-recognition audio-to-audio
    audio-classification audio-text-to-text voice-activity-detection depth-estimation image-classification
    object-detection image-segmentation text-to-image image-to-text image-to-image image-to-video
    unconditional-image-generation video-classification reinforcement-learning robotics tabular-classification
    tabular-regression tabular-to-text table-to-text multiple-choice text-ranking text-retrieval
    time-series-forecasting text-to-video image-text-to-text visual-question-answering document-question-answering
    zero-shot-image-classification graph-ml mask-generation zero-shot-object-detection text-to-3d image-to-3d
    image-feature-extraction video-text-to-text keypoint-detection visual-document-retrieval any-to-any other
    """.split()
)
# ISO 639-1. Codes of three letters (639-2 and 639-3) are not told apart here.
LANGUAGES = set(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el
    en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu
    ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na
    nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so
    sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """.split()
)


def read_metadata(content: str) -> Any:
    """The front matter of a card as YAML has it; None where there is none."""
    found = _FRONT_MATTER.search(content)
    return yaml.safe_load(found[2]) if found else None


def card_errors(content: str) -> list[str]:
    """What is wrong with the front matter of a card. None at all is no error."""
    try:
        data = read_metadata(content)
    except yaml.YAMLError as error:
        # huggingface_hub issue 1950 quotes the Hub: Invalid YAML in README.md: unknown tag ...
        return [f"Invalid YAML in README.md: {error}"]
    if data is None:
        return []
    if not isinstance(data, dict):
        # repocard.py: "repo card metadata block should be a dict".
        return ["the metadata must be a mapping"]
    errors = _list_errors(data) + _name_errors(data) + _model_index_errors(data.get("model-index", []))
    if "pipeline_tag" in data and data["pipeline_tag"] not in TASKS:
        errors.append(f'"pipeline_tag" must be one of the tasks of the Hub, not {data["pipeline_tag"]!r}')
    # hub-docs, docs/hub/model-cards.md: one name of a library.
    if "library_name" in data and not isinstance(data["library_name"], str):
        errors.append('"library_name" must be a string')
    return errors


def card_warnings(content: str) -> list[str]:
    """What the Hub would like to be told, of a card without errors."""
    data = read_metadata(content)
    if not data:
        # The Hub's words.
        return ["empty or missing yaml metadata in repo card"]
    # hub-docs, docs/hub/model-cards.md, "Specifying a license".
    missing = [key for key in ("license_name", "license_link") if data.get("license") == "other" and key not in data]
    return [f'"{key}" is expected where "license" is "other"' for key in missing]


def _list_errors(data: dict[str, Any]) -> list[str]:
    # modelcard.md shows both as lists; ai-toolkit issue 260 quotes the Hub: "widget" must be an array.
    errors = []
    for key in ("tags", "metrics"):
        values = data.get(key, [])
        if not isinstance(values, list):
            errors.append(f'"{key}" must be an array')
        elif not all(isinstance(value, str) for value in values):
            errors.append(f'"{key}" must hold strings')
    return errors


def _name_errors(data: dict[str, Any]) -> list[str]:
    """Keys that hold one name or a list of names, each of a known kind."""
    # The Hub's words: "base_model" with value "..." is not valid. Use a model id from https://hf.co/models.
    hints = {
        "license": (_is_license, "must be one of the identifiers at https://hf.co/docs/hub/repositories-licenses"),
        "language": (_is_language, 'must be an ISO 639 code of two or three letters, "code" or "multilingual"'),
        "datasets": (_is_repo_id, "is not valid. Use a dataset id from https://hf.co/datasets"),
        "base_model": (_is_repo_id, "is not valid. Use a model id from https://hf.co/models"),
    }
    errors = []
    for key, (is_valid, hint) in hints.items():
        values = data.get(key, [])
        for value in values if isinstance(values, list) else [values]:
            if not is_valid(value):
                errors.append(f'"{key}" with value {value!r} {hint}')
    return errors


def _is_license(value: Any) -> bool:
    return isinstance(value, str) and value in LICENSES


def _is_language(value: Any) -> bool:
    # A bare `no` is False in YAML, and no code: Norwegian wants quotes.
    if not isinstance(value, str):
        return False
    return value in LANGUAGES | {"code", "multilingual"} or re.fullmatch("[a-z]{3}", value) is not None


def _is_repo_id(value: Any) -> bool:
    if not isinstance(value, str) or "--" in value or ".." in value or value.endswith(".git"):
        return False
    return _REPO_ID.fullmatch(value) is not None


def _model_index_errors(index: Any) -> list[str]:
    """`model-index` as in hub-docs, modelcard.md: what is marked there as required."""
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    errors = []
    for position, model in enumerate(index):
        place = f"model-index[{position}]"
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            errors.append(f'"{place}.name" is required')
        if not isinstance(results, list):
            errors.append(f'"{place}.results" must be an array')
            continue
        for number, result in enumerate(results):
            errors += _result_errors(f"{place}.results[{number}]", result)
    return errors


def _result_errors(place: str, result: Any) -> list[str]:
    errors = _missing(place, result, {"task": ("type",), "dataset": ("type", "name")})
    if errors:
        return errors
    if not _DATASET_TYPE.fullmatch(result["dataset"]["type"]):
        errors.append(
            f'"{place}.dataset.type" with value {result["dataset"]["type"]!r} fails to match the required pattern'
        )
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        return [*errors, f'"{place}.metrics" must be an array that is not empty']
    for number, metric in enumerate(metrics):
        for key in ("type", "value"):
            if not isinstance(metric, dict) or metric.get(key) is None:
                errors.append(f'"{place}.metrics[{number}].{key}" is required')
    if "source" in result:
        # model-cards.md links a source; repocard_data.py writes one only with its address.
        errors += _missing(place, result, {"source": ("url",)})
    return errors


def _missing(place: str, entry: Any, required: dict[str, tuple[str, ...]]) -> list[str]:
    """Texts that are not there, by the group that should hold them."""
    groups = {name: entry.get(name) if isinstance(entry, dict) else None for name in required}
    return [
        f'"{place}.{name}.{key}" is required'
        for name, keys in required.items()
        for key in keys
        if not isinstance(groups[name], dict)
        or not isinstance(groups[name].get(key), str)
        or not groups[name][key].strip()
    ]


def eval_results_errors(path: str, content: bytes) -> list[str]:
    """What is wrong with a file `.eval_results/*.yaml` (docs/hub/eval-results.md, EvalResultEntry of the client).

    The client skips entries that the Hub marks with an error, so the Hub may take the file where this refuses it.
    """
    try:
        entries = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [f"{path}: invalid YAML: {error}"]
    if not isinstance(entries, list):
        return [f"{path}: must be an array"]
    errors = []
    for number, entry in enumerate(entries):
        place = f"{path}[{number}]"
        missing = _missing(place, entry, {"dataset": ("id", "task_id")})
        errors += missing
        if not missing and not _is_repo_id(entry["dataset"]["id"]):
            errors.append(f'"{place}.dataset.id" is not a dataset id')
        if not isinstance(entry, dict):
            continue
        if entry.get("value") is None:
            errors.append(f'"{place}.value" is required')
        if "source" in entry:
            errors += _missing(place, entry, {"source": ("url",)})
        if "date" in entry and not _is_date(entry["date"]):
            errors.append(f'"{place}.date" must be a date of ISO 8601')
        for key in ("verifyToken", "notes"):
            if key in entry and not isinstance(entry[key], str):
                errors.append(f'"{place}.{key}" must be a string')
    return errors


def _is_date(value: Any) -> bool:
    try:
        return bool(datetime.datetime.fromisoformat(str(value)))
    except ValueError:
        return False
