"""What the Hub wants of a model card's front matter and of `.eval_results/`, as its documentation has it.

Sources: hub-docs, "Model Cards" (metadata), modelcard.md (the annotated front matter, with `model-index`), "Licenses" (identifiers),
"Tasks" (`pipeline_tag`) and eval_results.yaml.
"""

import re
from typing import Any

import yaml

LICENSES = set(
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0 "
    "artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 "
    "cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 "
    "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 "
    "epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl "
    "mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl unknown other".split()
)
AUDIO_TASKS = {
    "audio-classification",
    "automatic-speech-recognition",
    "audio-to-audio",
    "text-to-speech",
    "text-to-audio",
    "voice-activity-detection",
}
_REPO_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_FRONT_MATTER = re.compile(r"^---\s*\n(.*?)\n---\s*\n", re.DOTALL)


def card_errors(content: str) -> list[str]:
    """What is wrong with the front matter of a card; nothing, where it is as it should be or there is none."""
    found = _FRONT_MATTER.match(content)
    if not found:
        return []
    try:
        data = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"the metadata is not YAML: {error}"]
    if not isinstance(data, dict):
        return ["the metadata must be a mapping"]
    errors = []
    if "license" in data and data["license"] not in LICENSES:
        errors.append(f'"license" must be one of the known identifiers, not {data["license"]!r}')
    if "pipeline_tag" in data and data["pipeline_tag"] not in AUDIO_TASKS:
        errors.append(f'"pipeline_tag" must be a task, not {data["pipeline_tag"]!r}')
    for key in ("tags", "metrics"):
        if key in data and not _are_texts(data[key]):
            errors.append(f'"{key}" must be a list of strings')
    for key in ("datasets", "base_model"):
        names = data.get(key, [])
        names = [names] if isinstance(names, str) else names
        if not _are_texts(names) or not all(_REPO_ID.fullmatch(name) for name in names):
            errors.append(f'"{key}" must hold names of repositories, not {data[key]!r}')
    if "language" in data:
        languages = data["language"] if isinstance(data["language"], list) else [data["language"]]
        if not all(isinstance(code, str) and re.fullmatch(r"[a-z]{2,3}|multilingual|code", code) for code in languages):
            errors.append('"language" must hold ISO 639 codes')
    if "library_name" in data and not isinstance(data["library_name"], str):
        errors.append('"library_name" must be a string')
    return errors + _model_index_errors(data.get("model-index", []))


def _model_index_errors(index: Any) -> list[str]:
    if not isinstance(index, list):
        return ['"model-index" must be a list']
    errors = []
    for position, model in enumerate(index):
        place = f'"model-index[{position}]'
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            errors.append(f'{place}.name" is required')
            continue
        if not isinstance(model.get("results"), list):
            errors.append(f'{place}.results" must be a list')
            continue
        for number, result in enumerate(model["results"]):
            errors += _result_errors(f"{place}.results[{number}]", result)
    return errors


def _result_errors(place: str, result: dict[str, Any]) -> list[str]:
    errors = []
    if not isinstance(result.get("task", {}).get("type"), str):
        errors.append(f'{place}.task.type" is required')
    for key in ("type", "name"):
        if not isinstance(result.get("dataset", {}).get(key), str):
            errors.append(f'{place}.dataset.{key}" is required')
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        return [*errors, f'{place}.metrics" must be a list that is not empty']
    for number, metric in enumerate(metrics):
        if not isinstance(metric.get("type"), str):
            errors.append(f'{place}.metrics[{number}].type" is required')
        if metric.get("value") is None:
            errors.append(f'{place}.metrics[{number}].value" is required')
    return errors


def eval_results_errors(path: str, content: bytes) -> list[str]:
    """What is wrong with a file of `.eval_results/`."""
    entries = yaml.safe_load(content)
    if not isinstance(entries, list):
        return [f"{path} must hold a list"]
    errors = []
    for entry in entries:
        dataset = entry.get("dataset", {})
        if not _REPO_ID.fullmatch(str(dataset.get("id", ""))) or not isinstance(dataset.get("task_id"), str):
            errors.append(f"{path}: dataset.id and dataset.task_id are required")
        if entry.get("value") is None:
            errors.append(f"{path}: value is required")
    return errors


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
