"""Good and broken models, texts and runs in a temporary folder, for the tests of the built program."""

import json
import os
import pathlib
import shutil
import struct
import subprocess

MATRIX = "model.layers.0.mlp.up_proj.weight"
GGUF = pathlib.Path(__file__).parent.parent / "golden/gguf/model.gguf"
EXPERT = "model.layers.1.mlp.experts.3.down_proj.weight"


class Safetensors:
    """A file's parts: 8 bytes with the header's length, the header, the tensors' bytes."""

    def __init__(self, path):
        content = pathlib.Path(path).read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        self.header = json.loads(content[8 : 8 + length])
        self.data = bytearray(content[8 + length :])

    def bytes_of(self, name):
        begin, end = self.header[name]["data_offsets"]
        return slice(begin, end)

    def write(self, path, length=None):
        header = json.dumps(self.header).encode()
        header += b" " * (-len(header) % 8)
        pathlib.Path(path).write_bytes(struct.pack("<Q", length or len(header)) + header + self.data)


class Fixtures:
    def __init__(self, hadal, folder):
        self.hadal, self.folder = hadal, pathlib.Path(folder)

    def run(self, *words):
        subprocess.run([self.hadal, *map(str, words)], check=True, capture_output=True)

    def make(self):
        self.texts()
        self.good_model()
        self.broken_files()
        self.broken_configurations()
        self.int4_files()
        self.gguf_files()
        self.runs()

    def texts(self):
        f = self.folder
        (f / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 200)
        (f / "empty.txt").write_text("")
        (f / "empty.jsonl").write_text("")
        (f / "not_json.jsonl").write_text('{"text": "a"}\nnot json\n')
        (f / "no_text.jsonl").write_text('{"content": "a"}\n')
        (f / "empty_folder").mkdir()
        (f / "blank.jsonl").write_text('{"text": ""}\n')
        self.run("tokenizer", "train", f / "text.txt", "--vocab-size", 300, "--out", f / "tokenizer")
        self.run("data", "synth", "--task", "copy=200", "--out", f / "copy.jsonl")
        self.run("data", "pack", f / "copy.jsonl", "--tokenizer", f / "tokenizer", "--out", f / "packed")
        shutil.copytree(f / "packed", f / "packed_cut")
        ids = f / "packed_cut/copy.train.bin"
        ids.write_bytes(ids.read_bytes()[:-100])
        (f / "tokenizer_broken").mkdir()
        (f / "tokenizer_broken/tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": 0}')
        (f / "tokenizer_word").mkdir()
        (f / "tokenizer_word/tokenizer.json").write_text('{"model": {"type": "WordPiece", "vocab": {}}}')
        (f / "tokenizer_merge").mkdir()
        merge = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}
        (f / "tokenizer_merge/tokenizer.json").write_text(json.dumps({"model": merge}))

    def good_model(self):
        f = self.folder
        self.run("init", "--preset", "tiny", "--dtype", "f32", "--out", f / "good")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(f / "tokenizer" / name, f / "good")

    def copy_of_good(self, name):
        target = self.folder / name
        shutil.copytree(self.folder / "good", target, copy_function=os.link)
        return target

    def changed_file(self, name, change, **how):
        """A copy of the good model whose safetensors file went through `change`."""
        target = self.copy_of_good(name) / "model.safetensors"
        file = Safetensors(target)
        change(file)
        target.unlink()
        file.write(target, **how)

    def replaced(self, name, file_name, content):
        target = self.copy_of_good(name) / file_name
        target.unlink()
        target.write_bytes(content)

    def broken_files(self):
        good = (self.folder / "good/model.safetensors").read_bytes()
        self.replaced("file_empty", "model.safetensors", b"")
        self.replaced("file_of_5_bytes", "model.safetensors", good[:5])
        self.replaced("header_cut", "model.safetensors", good[:1000])
        self.replaced("data_cut", "model.safetensors", good[:-1000])
        self.replaced("not_safetensors", "model.safetensors", b"\x08\0\0\0\0\0\0\0not json")
        self.changed_file("header_huge", lambda file: None, length=1 << 62)
        self.changed_file("header_just_too_long", lambda file: None, length=len(good))

        def field(tensor, key, value):
            return lambda file: file.header[tensor].update({key: value})

        size = Safetensors(self.folder / "good/model.safetensors").bytes_of(MATRIX)
        self.changed_file("overlap", field(MATRIX, "data_offsets", [size.start - 4, size.stop - 4]))
        self.changed_file("offset_outside", field(MATRIX, "data_offsets", [1 << 40, (1 << 40) + 98304]))
        self.changed_file("offset_negative", field(MATRIX, "data_offsets", [-98304, 0]))
        self.changed_file("offset_backwards", field(MATRIX, "data_offsets", [size.stop, size.start]))
        self.changed_file("offset_text", field(MATRIX, "data_offsets", "0-98304"))
        self.changed_file("dtype_unknown", field(MATRIX, "dtype", "F31"))
        self.changed_file("dtype_of_other_size", field(MATRIX, "dtype", "BF16"))
        self.changed_file("dtype_integers", field(MATRIX, "dtype", "I32"))
        self.changed_file("shape_turned", lambda file: file.header[MATRIX]["shape"].reverse())
        self.changed_file("shape_negative", field(MATRIX, "shape", [-256, -96]))
        self.changed_file("shape_overflow", field(MATRIX, "shape", [1 << 62, 1 << 62]))
        self.changed_file("shape_of_five", field(MATRIX, "shape", [1, 1, 1, 256, 96]))
        self.changed_file("tensor_missing", self.without(EXPERT))
        self.changed_file("tensor_unknown", self.rename_copy("model.layers.0.extra.weight"))
        self.changed_file("nan", self.with_value(b"\0\0\xc0\x7f"))
        self.changed_file("infinity", self.with_value(b"\0\0\x80\xff"))

    @staticmethod
    def without(tensor):
        def change(file):
            place = file.bytes_of(tensor)
            del file.data[place]
            del file.header[tensor]
            for info in file.header.values():
                if "data_offsets" in info and info["data_offsets"][0] >= place.stop:
                    info["data_offsets"] = [x - (place.stop - place.start) for x in info["data_offsets"]]

        return change

    @staticmethod
    def rename_copy(name):
        def change(file):
            file.header[name] = {"dtype": "F32", "shape": [1], "data_offsets": [len(file.data), len(file.data) + 4]}
            file.data += b"\0\0\0\0"

        return change

    @staticmethod
    def with_value(value):
        def change(file):
            begin = file.bytes_of(MATRIX).start + 400
            file.data[begin : begin + 4] = value

        return change

    def broken_configurations(self):
        good = json.loads((self.folder / "good/config.json").read_text())
        changes = {
            "hidden_zero": {"hidden_size": 0},
            "heads_negative": {"num_attention_heads": -4},
            "vocab_huge": {"vocab_size": 1 << 40},
            "vocab_text": {"vocab_size": "512"},
            "hidden_fraction": {"hidden_size": 96.5},
            "top_k_above_experts": {"num_experts_per_tok": 17},
            "top_k_zero": {"num_experts_per_tok": 0},
            "groups_do_not_divide": {"n_group": 3},
            "group_choice_above_groups": {"topk_group": 5},
            "groups_hold_too_few": {"topk_group": 1, "num_experts_per_tok": 8},
            "rope_odd": {"qk_rope_head_dim": 15},
            "rope_theta_zero": {"rope_theta": 0},
            "rope_unknown": {"rope_scaling": {"type": "cubic", "factor": 2}},
            "yarn_without_factor": {"rope_scaling": {"type": "yarn"}},
            "yarn_factor_negative": {
                "rope_scaling": {"type": "yarn", "factor": -4, "original_max_position_embeddings": 4096}
            },
            "epsilon_negative": {"rms_norm_eps": -1},
            "model_type_other": {"model_type": "llama"},
            "scoring_other": {"scoring_func": "tanh"},
            "activation_other": {"hidden_act": "gelu"},
            "layers_more_than_stored": {"num_hidden_layers": 5, "num_nextn_predict_layers": 0},
            "hidden_other": {"hidden_size": 64},
            "without_mtp": {"num_nextn_predict_layers": 0},
            "vocab_below_tokenizer": {"vocab_size": 200},
            "quantised_otherwise": {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "no_experts": {"n_routed_experts": 0},
        }
        for name, change in changes.items():
            self.replaced("config_" + name, "config.json", json.dumps(good | change).encode())
        self.replaced("config_not_json", "config.json", b'{"hidden_size": ')
        self.replaced("config_a_list", "config.json", b"[]")
        self.replaced("config_deep", "config.json", b"[" * 1000000)
        (self.copy_of_good("config_missing") / "config.json").unlink()
        (self.copy_of_good("weights_missing") / "model.safetensors").unlink()
        (self.copy_of_good("tokenizer_missing") / "tokenizer.json").unlink()

    def int4_files(self):
        """The good model with experts in INT4, with parts missing and with what hadal does not read."""
        self.run("quantize", self.folder / "good", "--to", "int4", "--out", self.folder / "int4")
        tensors = (self.folder / "int4/model.safetensors").read_bytes()
        config = (self.folder / "int4/config.json").read_bytes()
        expert = b'"model.layers.1.mlp.experts.3.down_proj.weight_'
        changed = {
            "scale_missing": tensors.replace(expert + b'scale"', expert + b'sca1e"'),
            "shape_missing": tensors.replace(expert + b'shape"', expert + b'shap3"'),
            "codes_missing": tensors.replace(expert + b'packed"', expert + b'packet"'),
        }
        for name, content in changed.items():
            assert content != tensors
            shutil.copytree(self.folder / "int4", self.folder / f"int4_{name}")
            (self.folder / f"int4_{name}/model.safetensors").write_bytes(content)
        configs = {
            "five_bits": config.replace(b'"num_bits": 4', b'"num_bits": 5'),
            "group_of_128": config.replace(b'"group_size": 32', b'"group_size": 128'),
            "asymmetric": config.replace(b'"symmetric": true', b'"symmetric": false'),
            "other_format": config.replace(b"pack-quantized", b"marlin-24"),
        }
        for name, content in configs.items():
            assert content != config
            shutil.copytree(self.folder / "int4", self.folder / f"int4_{name}")
            (self.folder / f"int4_{name}/config.json").write_bytes(content)

    def gguf_files(self):
        """The golden GGUF model, cut, changed and with what cannot be read."""
        good = GGUF.read_bytes()
        up = good.index(b"blk.0.ffn_up.weight")
        type_of_up = up + len(b"blk.0.ffn_up.weight") + 4 + 2 * 8
        architecture = good.index(b"deepseek2")
        files = {
            "good": good,
            "header_cut": good[:500],
            "data_cut": good[:-1000],
            "not_gguf": b"GGML" + good[4:],
            "version": good[:4] + b"\x09" + good[5:],
            "llama": good[:architecture] + b"deepseek9" + good[architecture + 9 :],
            "tensor_missing": good.replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_uq.weight"),
            "type_unread": good[:type_of_up] + b"\x0a" + good[type_of_up + 1 :],
            "nan": good[:-4] + b"\0\0\xc0\x7f",
            "many_tensors": good[:8] + b"\xff" * 8 + good[16:],
        }
        (self.folder / "gguf").mkdir()
        for name, content in files.items():
            (self.folder / f"gguf/{name}.gguf").write_bytes(content)

    def recipe(self, name, text):
        path = self.folder / f"{name}.toml"
        path.write_text(text)
        return path

    def runs(self):
        """A finished run with snapshots, and recipes that do not fit it."""
        recipe = self.recipe("recipe", RECIPE.replace("OUT", str(self.folder / "run")))
        self.run("train", recipe)
        shutil.copytree(self.folder / "run", self.folder / "run_torn")
        for tensors in self.folder.glob("run_torn/snapshots/*/tensors-*.safetensors"):
            tensors.write_bytes(tensors.read_bytes()[:-8])


RECIPE = """
[run]
out = "OUT"
steps = 4
[model]
preset = "tiny"
[data]
random = true
seq_len = 16
[batch]
sequences = 2
[snapshot]
every = 2
"""
