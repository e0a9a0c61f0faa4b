"""The suite of Table 2 as data: the models to train, the ensembles that they form, and what they are compared with."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from paravox.modeling.errors import ConfigError, did_you_mean

PROGRAMS = ("train", "train_compare")
_KEYS = ("title", "seeds", "options", "rows", "ensembles", "compared_with")
_ROW_KEYS = ("code", "name", "settings", "options", "program", "raw")
_ENSEMBLE_KEYS = ("code", "name", "members")


@dataclass(frozen=True)
class SuiteRow:
    """A model of the table, which is trained once per seed.

    Args:
        code (`str`): the first column, such as `V1`.
        name (`str`): the second column, such as `Burst2Vec WL`.
        settings (`Path`): the YAML file of the program.
        options (`dict`): settings that replace those of the YAML file and of the suite.
        program (`str`): `train` or `train_compare`.
        raw (`bool`, *optional*): whether the row has the mark of unprocessed audio. By default the settings say it.
    """

    code: str
    name: str
    settings: Path
    options: dict[str, Any] = field(default_factory=dict)
    program: str = PROGRAMS[0]
    raw: bool | None = None


@dataclass(frozen=True)
class SuiteEnsemble:
    """A row whose predictions are the mean of those of other rows.

    Args:
        code (`str`): the first column, such as `Ensemble A`.
        name (`str`): the second column; by default the members, such as `V1 – V3, V6`.
        members (tuple of `str`): their codes.
    """

    code: str
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """All that a suite file says.

    Args:
        title (`str`): stands above the table.
        seeds (tuple of `int`): each row is trained with each of them.
        options (`dict`): settings of every row.
        rows (tuple of [`SuiteRow`]): in the order of the table.
        ensembles (tuple of [`SuiteEnsemble`]): below the rows.
        compared_with (`dict`): from a mark, such as `♣`, to the code of the row that other rows are compared with.
    """

    title: str
    seeds: tuple[int, ...]
    options: dict[str, Any]
    rows: tuple[SuiteRow, ...]
    ensembles: tuple[SuiteEnsemble, ...] = ()
    compared_with: dict[str, str] = field(default_factory=dict)

    def only(self, codes: Iterable[str]) -> "Suite":
        """The suite with some of its rows, and with the ensembles and comparisons that need no other row.

        Raises:
            ConfigError: if a code is unknown.
        """
        known = [row.code for row in self.rows]
        for code in codes:
            if code not in known:
                raise ConfigError(f"the suite has no row {code!r}: {did_you_mean(code, known)}")
        kept = [row for row in self.rows if row.code in set(codes)]
        ensembles = [ensemble for ensemble in self.ensembles if set(ensemble.members) <= set(codes)]
        left = {row.code for row in kept} | {ensemble.code for ensemble in ensembles}
        compared = {mark: code for mark, code in self.compared_with.items() if code in left}
        return replace(self, rows=tuple(kept), ensembles=tuple(ensembles), compared_with=compared)


def parse_suite(values: dict[str, Any], file: Path) -> Suite:
    """Checks what a suite file holds.

    Args:
        values (`dict`): its keys and values.
        file (`Path`): the file itself. Paths of YAML files are relative to its folder.

    Raises:
        ConfigError: if a key is unknown (the message names the nearest one) or missing, a value has the wrong type, a
            code is given twice, or an ensemble or a comparison names a row that there is not.
    """
    _check_keys(values, _KEYS, ("title", "rows"), str(file))
    options = _typed(values, "options", dict, {}, str(file))
    seeds = check_seeds(_typed(values, "seeds", list, [1], str(file)))
    rows = [_parse_row(fields, file) for fields in _typed(values, "rows", list, [], str(file))]
    if not rows:
        raise ConfigError(f"{file} has no rows: give at least one, such as {{code: V1, name: WL, settings: wl.yaml}}")
    codes = [row.code for row in rows]
    ensembles = [_parse_ensemble(fields, codes, file) for fields in _typed(values, "ensembles", list, [], str(file))]
    known = [*codes, *(ensemble.code for ensemble in ensembles)]
    _check_codes(known, file)
    compared = _typed(values, "compared_with", dict, {}, str(file))
    for mark, code in compared.items():
        if code not in known:
            raise ConfigError(f"{file}: {mark} compares with {code!r}, which is no row: {did_you_mean(code, known)}")
    title = _typed(values, "title", str, "", str(file))
    compared = {str(mark): str(code) for mark, code in compared.items()}
    return Suite(title, seeds, options, tuple(rows), tuple(ensembles), compared)


def check_seeds(seeds: Sequence[Any]) -> tuple[int, ...]:
    """The seeds without repetitions.

    Raises:
        ConfigError: if there is none, or one is no whole number of at least 0.
    """
    if not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ConfigError(f"seeds is {list(seeds)}: give at least one whole number of at least 0")
    return tuple(dict.fromkeys(seeds))


def file_name(code: str) -> str:
    """A code as a part of a file name, such as `Ensemble_A`."""
    return re.sub(r"[^\w.+-]+", "_", code)


def row_facts(row: SuiteRow, settings: dict[str, Any]) -> dict[str, Any]:
    """What the table says of a row beside its scores.

    Args:
        row ([`SuiteRow`]).
        settings (`dict`): those of the YAML file, with all options that replace some of them.

    Returns:
        `dict`: `encoder`, its name without folders; `audio`, `raw` or `provided`, or None for a corpus without that
        choice; `raw`, whether the row has its mark; `adversarial`, in words; and `oversampling`.
    """
    audio = settings.get("audio", "provided") if settings.get("corpus") == "exvo" else None
    facts = {"encoder": "ComParE functionals", "audio": audio, "adversarial": "no"}
    facts |= {"raw": audio == "raw" if row.raw is None else row.raw, "oversampling": bool(settings.get("oversample"))}
    if row.program == "train":
        described = settings.get("encoder_config") or {}
        encoder = settings.get("encoder") or settings.get("start_from") or described.get("model_type") or "none"
        is_frozen = str(settings.get("num_train_epochs")) == "0"  # only the stage that trains the heads
        facts["encoder"] = Path(str(encoder)).name + (", frozen" if is_frozen else "")
        if settings.get("adversarial", True):
            scope = settings.get("adversarial_scope", "encoder")
            facts["adversarial"] = "yes" if scope == "encoder" else f"yes, {scope} only"
            if not settings.get("gradient_reversal", True):
                facts["adversarial"] = "without reversal"
    return facts


def _parse_row(fields: Any, file: Path) -> SuiteRow:
    where = _where(fields, file)
    _check_keys(fields, _ROW_KEYS, ("code", "name", "settings"), where)
    program = _typed(fields, "program", str, PROGRAMS[0], where)
    if program not in PROGRAMS:
        raise ConfigError(f"{where}: program {program!r} is unknown: {did_you_mean(program, PROGRAMS)}")
    settings = file.parent / _typed(fields, "settings", str, "", where)
    if not settings.is_file():
        raise ConfigError(f"{where}: settings file {settings} does not exist: give a path relative to the suite")
    raw = _typed(fields, "raw", bool, None, where)
    options = _typed(fields, "options", dict, {}, where)
    return SuiteRow(str(fields["code"]), str(fields["name"]), settings, options, program, raw)


def _parse_ensemble(fields: Any, codes: list[str], file: Path) -> SuiteEnsemble:
    where = _where(fields, file)
    _check_keys(fields, _ENSEMBLE_KEYS, ("code", "members"), where)
    members = [str(member) for member in _typed(fields, "members", list, [], where)]
    for member in members:
        if member not in codes:
            raise ConfigError(f"{where}: member {member!r} is no row: {did_you_mean(member, codes)}")
    if len(set(members)) < max(2, len(members)):
        raise ConfigError(f"{where}: members are {members}: give at least two rows, each only once")
    return SuiteEnsemble(str(fields["code"]), str(fields.get("name") or _in_short(members, codes)), tuple(members))


def _in_short(members: list[str], codes: list[str]) -> str:
    """The members as the paper writes them: three or more that follow each other as `V1 – V3`."""
    groups: list[list[str]] = []
    for code in sorted(members, key=codes.index):
        if groups and codes.index(code) == codes.index(groups[-1][-1]) + 1:
            groups[-1].append(code)
        else:
            groups.append([code])
    return ", ".join(f"{group[0]} – {group[-1]}" if len(group) > 2 else ", ".join(group) for group in groups)


def _where(fields: Any, file: Path) -> str:
    if not isinstance(fields, dict):
        raise ConfigError(f"{file}: found {fields!r}, expected a mapping with a code: correct it")
    return f"{file}, {fields.get('code', 'a row without a code')}"


def _check_keys(fields: dict[str, Any], known: Sequence[str], needed: Sequence[str], where: str) -> None:
    for key in fields:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}: {did_you_mean(key, known)}")
    for key in needed:
        if fields.get(key) in (None, "", []):
            raise ConfigError(f"{where}: key {key!r} is missing: give {', '.join(needed)}")


def _typed(fields: dict[str, Any], key: str, kind: type, default: Any, where: str) -> Any:
    value = default if fields.get(key) is None else fields[key]
    if value is not None and not isinstance(value, kind):
        names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
        raise ConfigError(f"{where}: {key} is {value!r}, expected {names[kind]}: correct it")
    return value


def _check_codes(codes: list[str], file: Path) -> None:
    """Codes name folders too, so they must also differ there."""
    names = [file_name(code).lower() for code in codes]
    for code, name in zip(codes, names, strict=True):
        if names.count(name) > 1:
            raise ConfigError(f"{file}: the code {code!r} is given twice, or differs only by signs: rename one")
