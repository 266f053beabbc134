#!/usr/bin/env python3
"""Writes tests/text/golden: what Hugging Face `tokenizers` does, for our tests to agree with.

    pip install tokenizers && python3 tools/make_tokenizer_goldens.py [--check OUR_DIRECTORY]

trained.json   merges that its trainer learns from tests/text/corpus.txt with V3's pre-tokenizer
v3/            a small tokenizer.json of V3's form; pieces and ids of texts in cases.json
foreign.json   pieces of the same texts under split patterns of other models
--check loads a tokenizer.json that hadal wrote and compares ids with those that hadal gave
(OUR_DIRECTORY/ids.json: [{"text", "ids"}]).
"""
import argparse
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "text" / "golden"
V3 = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
]
# Patterns of other families: GPT-4's, DeepSeek-Coder's, and one with a set difference as Kimi's.
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
KIMI = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated", invert=False)


def byte_level(use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def v3_pretokenizer():
    return pre_tokenizers.Sequence([split(p) for p in V3] + [byte_level()])


FOREIGN = {
    "gpt2": [byte_level(True)],
    "gpt4": [split(GPT4), byte_level()],
    "kimi": [split(KIMI), byte_level()],
    "deepseek_coder": [split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                       split("[一-龥ࠀ-一가-퟿]+"),
                       pre_tokenizers.Digits(individual_digits=True), byte_level()],
    "digit_runs": [pre_tokenizers.Digits(individual_digits=False), byte_level()],
    "literal": [pre_tokenizers.Split("the", "isolated"), byte_level()],
}


def texts():
    corpus = (ROOT / "tests" / "text" / "corpus.txt").read_text()
    cases = ["", " ", "a", "\n", "\r\n", "\n\n\n", "  \n  \n  x", "   x", "\t\tx", "x   ", "x \n",
             "1", "12", "1234", "12345678", "a1b22c333d4444", "١٢٣٤٥٦", "½ⅧⅧⅧ²³", " 1", "  1", "1 2  3",
             "it's we'll I'D don’t", ".append(x)", "..append", "x.y->z", "!!\n\nwow", "?!\r\n\r\n end",
             " !", "  !", "a !b", "_x _ x_y __init__", "$x+$y=<z>|~^`",
             "人人12あいう・カタ゛x", "你好,世界。hello世界hello", "カ\u3099\u309bン", "\u3097\u3040x",
             "e\u0301 \u0301x \u0301 \u0301\u0301", "\u200bzero\u200b\u200b width", "\u0000\u0001a\u0002", "\x7f\x85x\x85\x85\n",
             "a\u00a0b\u00a0\u00a0c", "\u3000\u3000x\u3000", "\u2028\u2029x", "\u180ex \u180e\u180e", "\ufeffbom",
             "👩‍👩‍👧 family 👍🏽!", "\U000e0001tag", "\ue000private\ue000\ue000", "\u0378unassigned",
             "a\u0300\u0301\u0302b", "ﬁ ǅ ʰ ª º", "𝒳𝟙 𐐷", "x" * 300, " " * 300, " " * 299 + "x", "ab" * 400, "=" * 100,
             "\n" * 50 + "a", "<｜User｜>not a control token", "<|EOT|>", "\u0e44\u0e17\u0e22 ภาษาไทย", "हिन्दी में"]
    cases += [line for line in corpus.split("\n") if line][:60] + [corpus[:3000]]
    draw = random.Random(5)
    alphabet = list("abcXYZ \t\n\r'.,!-_$+1239") + list("éßДж人世あカ・゛½٣²€∑\u0301\u093f\u200b\u00a0\u3000\u2028\x85\x00\ue000😀")
    cases += ["".join(draw.choices(alphabet, k=draw.randrange(1, 40))) for _ in range(150)]
    return cases


def pieces(pretokenizer, text):
    """Byte offsets where pieces end."""
    letters = pretokenizer.pre_tokenize_str(text)
    ends, at = [], 0
    for piece, _ in letters:
        at += len(piece)  # one letter a byte
        ends.append(at)
    assert at == len(text.encode())
    return ends


FIRST = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]


def make():
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "v3").mkdir(exist_ok=True)
    # The trainer reads a file line by line; pieces end at line ends only if lines are joined as we
    # see them, so it gets the whole text as one document.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = v3_pretokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1100, min_frequency=2, show_progress=False,
                                  special_tokens=FIRST,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([(ROOT / "tests" / "text" / "corpus.txt").read_text()], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    dump(GOLDEN / "trained.json", {"vocab_size": 1100, "merges": model["merges"]})

    tokenizer.add_tokens([AddedToken("<｜User｜>", normalized=False),
                          AddedToken("<｜Assistant｜>", normalized=False),
                          AddedToken("wordy", single_word=True, normalized=True),
                          AddedToken("<left>", lstrip=True, normalized=False),
                          AddedToken("<right>", rstrip=True, normalized=False)])
    tokenizer.save(str(GOLDEN / "v3" / "tokenizer.json"))
    dump(GOLDEN / "v3" / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": {"__type": "AddedToken", "content": FIRST[0]},
        "eos_token": FIRST[1], "pad_token": FIRST[2], "tokenizer_class": "PreTrainedTokenizerFast"})
    plain = Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": []}))
    cases = [{"text": t, "ends": pieces(tokenizer.pre_tokenizer, t),
              "ids": plain.encode(t, add_special_tokens=False).ids} for t in texts()]
    special = ["<｜User｜>hi<｜Assistant｜>", "a <left> b", "a <right> b", "a  <left><right>  b", "wordy",
               "wordy words", "sword wordy, awordy wordyb _wordy wordy_", "<｜User｜> wordy<｜User",
               "<｜begin▁of▁sentence｜><｜begin▁of▁sentence｜>x<｜end▁of▁sentence｜>", "<｜Us<｜User｜>er｜>"]
    dump(GOLDEN / "v3" / "cases.json", {
        "plain": cases,
        "special": [{"text": t, "ids": tokenizer.encode(t, add_special_tokens=False).ids} for t in special]})
    foreign = []
    for name, sequence in FOREIGN.items():
        pre = pre_tokenizers.Sequence(sequence)
        tokenizer.pre_tokenizer = pre
        spec = json.loads(tokenizer.to_str())["pre_tokenizer"]
        foreign.append({"name": name, "pre_tokenizer": spec, "ends": [pieces(pre, t) for t in texts()]})
    dump(GOLDEN / "foreign.json", foreign)


def dump(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def check(directory):
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    bad = 0
    cases = json.loads((directory / "ids.json").read_text())
    for case in cases:
        if tokenizer.encode(case["text"], add_special_tokens=False).ids != case["ids"]:
            bad += 1
            print("differs:", repr(case["text"][:80]))
    print(f"{len(cases) - bad} of {len(cases)} texts have the same ids")
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=pathlib.Path)
    arguments = parser.parse_args()
    raise SystemExit(check(arguments.check) != 0 if arguments.check else make())
