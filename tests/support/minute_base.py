"""A base model so small that a training over it takes a second. It has no skill; it is random."""

from __future__ import annotations

from pathlib import Path

CORPUS = [
    "안녕하세요! 떡볶이 4,500원 어때요? 착한가게예요! 😊",
    "해맑은분식에서 김밥 3,000원에 먹을 수 있어요.",
    "참고 정보:\n- 가게: 봄분식 | 메뉴: 라면 | 가격: 3,500원",
    "참고 정보: 없음",
    "모르겠어요. 다시 물어봐 주세요.",
    "system user assistant",
] * 20


def build_tiny_base(folder: Path) -> Path:
    """A random Qwen3 (hidden 64, 2 layers, 512 positions) with a byte-level BPE tokenizer and a marked template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    from nabi.training.template import CHATML_TEMPLATE

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = CHATML_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        # Larger than usual: with the usual 0.02 a random model says the same token whatever it reads.
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder
