"""What jsonargparse says of a training config, in the user's words."""

import inspect
import re

from realface.data.datamodule import ReflectanceDataModule
from realface.data.procedural_datamodule import ProceduralDataModule
from realface.errors import InputError

DATA_MODULES = (ReflectanceDataModule, ProceduralDataModule)

_CORRECT = "correct the flag or the line of the config"

# Of jsonargparse 4: the key, then the first thing that is wrong with the class that it names.
_OF_CLASS = re.compile(
    r'Parser key "(?P<key>model|data)":.*?Problem with given class_path \'(?P<path>[\w.]+)\':\s*'
    r"(?P<problem>.*?)\n {1,4}- Expected a <class 'NoneType'>",  # deeper: of an option or none
    re.DOTALL,
)
_UNKNOWN = re.compile(r"Option '(?P<name>[\w.]+)' is not accepted")
_MISSING = re.compile(r"arguments are required: (?P<names>.+)")

_ILL_TYPED = re.compile(
    r'Parser key "(?P<name>[\w.]+)": Expected an? (?P<type>.+)\. Got value: (?P<value>.*)'
)
_NO_UNION = re.compile(
    r'Parser key "(?P<name>[\w.]+)": Does not validate against any of the Union subtypes '
    r"Subtypes: (?P<type>\[.*\]) Errors: .* Given value: (?P<value>.*)"
)
_OUT_OF_RANGE = re.compile(
    r'Parser key "(?P<name>[\w.]+)": Not of type \w+: (?P<value>.*) does not conform to '
    r"restriction (?P<type>.*)"
)


def in_words(message: str) -> InputError:
    """The error to raise for what jsonargparse says; its own words where they are not known."""
    if found := _OF_CLASS.search(message):
        key, problem = found["key"], " ".join(found["problem"].split())
        name = found["path"].rpartition(".")[2]
        if unknown := _UNKNOWN.match(problem):
            return _unknown(key, name, unknown["name"])
        if missing := _MISSING.search(problem):
            return _missing(key, name, missing["names"])
        remedy = f"{_CORRECT}; `train.py fit --{key}.help {name}` tells what each is"
        if wrong := _wrong_value(problem, f"{key}.", remedy):
            return wrong
        return InputError(f"{key}, {name}: {problem}", f"values that {name} takes", remedy)
    if message.startswith('Parser key "data"'):
        value = message.rpartition("Given value: ")[2]
        names = " or ".join(module.__name__ for module in DATA_MODULES)
        return InputError(
            f"data {value}", names, "name one of them, or lay configs/procedural.yaml over yours"
        )
    if wrong := _wrong_value(message, "", f"{_CORRECT}; `train.py fit --help` tells what each is"):
        return wrong
    if "unrecognized arguments" in message.lower():
        return InputError(
            message,
            "flags that `train.py fit --help` lists, one value each",
            "several folders of shards are one value: --data.shards '[FOLDER, FOLDER]', or braces",
        )
    return InputError(
        message,
        "options and config keys that `train.py fit --help` lists",
        f"{_CORRECT}; --model.help NAME and --data.help NAME list those of a class",
    )


def _wrong_value(problem: str, prefix: str, remedy: str) -> InputError | None:
    """A value of another type, or out of its range; None: something else is wrong."""
    for pattern in (_ILL_TYPED, _NO_UNION, _OUT_OF_RANGE):
        if wrong := pattern.match(" ".join(problem.split())):
            expected = re.sub(r"<class '([\w.]+)'>", r"\1", wrong["type"])
            expected = expected.replace("typing.", "").replace("NoneType", "null")
            expected = re.sub(r"\bv(?=[<>])", "value ", expected)
            return InputError(f"{prefix}{wrong['name']} {wrong['value']}", expected, remedy)
    return None


def _unknown(key: str, name: str, option: str) -> InputError:
    options = {module.__name__: tuple(inspect.signature(module).parameters)
               for module in DATA_MODULES}  # fmt: skip
    remedy = f"{_CORRECT}; `train.py fit --{key}.help {name}` tells what each is"
    if name not in options:
        return InputError(f"{key}.{option}, with {name}", f"an option of {name}", remedy)
    given = f"data.{option}"
    for other in options.keys() - {name}:
        if option in options[other]:
            given = f"data.{option}, an option of {other}"
            remedy = (
                "leave it out; a config that names the data module comes after the others: "
                "configs/procedural.yaml after the translator's"
            )
    return InputError(
        f"{given}, where the data is {name}", f"one of {', '.join(options[name])}", remedy
    )


def _missing(key: str, name: str, options: str) -> InputError:
    if name == ReflectanceDataModule.__name__:
        return InputError(
            "no --data.shards",
            "a folder of shards that `realface pack` wrote, or procedural data, which needs none",
            "give --data.shards DIR, or --config configs/procedural.yaml after the translator's",
        )
    return InputError(f"no {key}.{options}", f"what {name} cannot do without", "give it")
