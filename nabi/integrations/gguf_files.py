"""The only module that imports gguf: models and adapters as files of llama.cpp, which LM Studio and Ollama read too.

llama.cpp knows each architecture and each way of cutting text into words by a name of its own. What has none here is
refused: under a wrong name the file would load and talk nonsense.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nabi.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from gguf import GGUFWriter

NumberType = Literal["f32", "f16", "bf16", "q8_0"]

# transformers' model_type → gguf's architecture.
_ARCHITECTURES = {"qwen2": "QWEN2", "qwen3": "QWEN3"}

# The pattern that cuts text into words → its name in llama.cpp.
_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_WORDS = {_QWEN2_WORDS: "qwen2"}

_OTHER_WAY = "Export the merged model, and convert it with llama.cpp's own convert_hf_to_gguf.py."

_ADAPTER_PREFIX = "base_model.model."


def require_gguf() -> None:
    """Raises ConfigError when the library is not installed."""
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError(
            "gguf is not installed, and files for llama.cpp are written with it",
            fix="Install it: `pip install gguf` (`make setup` installs everything).",
        )


def write_model(path: Path, model: Any, tokenizer: Any, *, number_type: NumberType, notes: Mapping[str, str]) -> None:
    """A model with its tokenizer and chat template as one file.

    Args:
        path: written new; never half: it gets its name when it is complete.
        model: of transformers, in plain numbers.
        number_type: of the matrices; vectors stay float32.
        notes: texts kept in the file under `nabi.…`; `version` is its name as well.

    Raises:
        ConfigError: gguf is not installed.
        ModelError: llama.cpp's name for the architecture or for the tokenizer is not known here.
    """
    writer = _writer(path, model, notes)
    _add_shape(writer, model)
    _add_tokenizer(writer, tokenizer, model.config.vocab_size)
    for name, weight in _named_weights(model):
        _add_tensor(writer, name, weight, number_type)
    _finish(writer, path)


def write_adapter(
    path: Path,
    model: Any,
    tensors: Mapping[str, Any],
    scale: float,
    *,
    number_type: NumberType,
    notes: Mapping[str, str],
) -> None:
    """A LoRA adapter as a file that llama.cpp loads over the base's file (`--lora`).

    Args:
        model: the base, for its architecture.
        tensors: verified weights under PEFT's names.
        scale: what multiplies the product of the two factors.

    Raises:
        ConfigError, ModelError: as for `write_model`; or the adapter is a DoRA, which llama.cpp does not have.
    """
    if any(name.endswith(".lora_magnitude_vector") for name in tensors):
        raise ModelError("llama.cpp has no DoRA adapters", where=path.name, fix="Export the merged model instead.")
    writer = _writer(path, model, notes)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    # llama.cpp divides by the rank, also where the training divided by its root.
    rank = next(tensor.shape[0] for name, tensor in tensors.items() if ".lora_A." in name)
    writer.add_float32("adapter.lora.alpha", scale * rank)
    names = _names(model)
    for name, tensor in sorted(tensors.items()):
        place, _, side = name.removeprefix(_ADAPTER_PREFIX).removesuffix(".weight").rpartition(".lora_")
        _add_tensor(writer, f"{names(place)}.weight.lora_{side.lower()}", tensor, number_type)
    _finish(writer, path)


def _writer(path: Path, model: Any, notes: Mapping[str, str]) -> GGUFWriter:
    require_gguf()
    from gguf import MODEL_ARCH_NAMES, GGUFWriter

    writer = GGUFWriter(_incoming(path), MODEL_ARCH_NAMES[_architecture(model)])
    writer.add_name(notes["version"])
    for key, text in notes.items():
        writer.add_string(f"nabi.{key}", text)
    return writer


def _finish(writer: GGUFWriter, path: Path) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    _incoming(path).replace(path)


def _incoming(path: Path) -> Path:
    return path.with_name(path.name + ".incoming")


def _architecture(model: Any) -> Any:
    from gguf import MODEL_ARCH

    kind = model.config.model_type
    if kind not in _ARCHITECTURES:
        raise ModelError(
            f"a base of the type {kind!r} cannot be written for llama.cpp here",
            fix=f"Known are {', '.join(sorted(_ARCHITECTURES))}. {_OTHER_WAY}",
        )
    return MODEL_ARCH[_ARCHITECTURES[kind]]


def _add_shape(writer: GGUFWriter, model: Any) -> None:
    config = model.config
    rope = config.rope_parameters
    if rope.get("rope_type", "default") != "default":
        raise ModelError(f"rotary positions of the type {rope['rope_type']!r} cannot be written for llama.cpp here.")
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_tokenizer(writer: GGUFWriter, tokenizer: Any, num_tokens: int) -> None:
    from gguf import TokenType

    described = json.loads(tokenizer.backend_tokenizer.to_str())
    model = described["model"]
    if model["type"] != "BPE":
        raise ModelError(f"a tokenizer of the type {model['type']} cannot be written for llama.cpp here.")
    added = {token["id"]: token for token in described["added_tokens"]}
    texts = {number: text for text, number in model["vocab"].items()} | {
        n: token["content"] for n, token in added.items()
    }
    # A base may have more rows than words.
    names = [texts.get(number, f"[PAD{number}]") for number in range(num_tokens)]

    def kind(number: int) -> TokenType:
        if number in added:
            return TokenType.CONTROL if added[number]["special"] else TokenType.USER_DEFINED
        return TokenType.NORMAL if number in texts else TokenType.UNUSED

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_way_of_cutting(described["pre_tokenizer"]))
    writer.add_token_list(names)
    writer.add_token_types([kind(number) for number in range(num_tokens)])
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    # The markers of what is learned are nobody's business but ours.
    plain = tokenizer.chat_template
    for marker in ("generation", "endgeneration"):
        for opening, closing in (("{%- ", " -%}"), ("{% ", " %}"), ("{%- ", " %}"), ("{% ", " -%}")):
            plain = plain.replace(f"{opening}{marker}{closing}", "")
    writer.add_chat_template(plain)


def _way_of_cutting(described: Mapping[str, Any] | None) -> str:
    steps = (described or {}).get("pretokenizers") or [described or {}]
    patterns = [step["pattern"]["Regex"] for step in steps if "Regex" in step.get("pattern", {})]
    # What cuts by bytes alone cuts as GPT-2 did.
    if not patterns and [step.get("type") for step in steps] == ["ByteLevel"] and steps[0]["use_regex"]:
        return "gpt-2"
    if len(patterns) != 1 or patterns[0] not in _WORDS:
        raise ModelError(
            "the way in which this tokenizer cuts text into words has no name of llama.cpp's that is known here",
            fix=_OTHER_WAY,
        )
    return _WORDS[patterns[0]]


def _named_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Every weight under llama.cpp's name; an output layer that is the embedding comes once."""
    names = _names(model)
    tied = model.config.tie_word_embeddings
    for name, weight in model.state_dict().items():
        if not (tied and name == "lm_head.weight"):
            place, _, ending = name.rpartition(".")
            yield f"{names(place)}.{ending}", weight


def _names(model: Any) -> Callable[[str], str]:
    from gguf import get_tensor_name_map

    known = get_tensor_name_map(_architecture(model), model.config.num_hidden_layers)

    def name(place: str) -> str:
        found: str | None = known.get_name(place)
        if found is None:
            raise ModelError(f"llama.cpp has no name for the weights at {place}.")
        return found

    return name


def _add_tensor(writer: GGUFWriter, name: str, weight: Any, number_type: NumberType) -> None:
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    values = weight.detach().float().cpu().numpy()
    if values.ndim == 1 or number_type == "f32":
        writer.add_tensor(name, values)
        return
    # Rows are cut into blocks of 32; a LoRA factor may be narrower.
    fits = number_type != "q8_0" or values.shape[-1] % 32 == 0
    kind = GGMLQuantizationType[number_type.upper() if fits else "F16"]
    writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
