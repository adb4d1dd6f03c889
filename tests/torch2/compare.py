"""The held-out loss of an exported model as transformers computes it: compare.py MODEL TOKENS LENGTH SUMMARY.

TOKENS has rows of LENGTH + 1 little-endian 16-bit token ids, as `longhaul data export` writes them.
"""
import array
import json
import pathlib
import sys

import torch
import transformers

TOLERANCE = 1e-5


def held_out_loss(model, rows):
    """Mean negative log likelihood per token, every token counting once."""
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in rows.split(16):
            logits = model(input_ids=batch[:, :-1]).logits
            targets = batch[:, 1:]
            losses = torch.nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]).double(), targets.reshape(-1), reduction="sum")
            total, count = total + losses.item(), count + targets.numel()
    return total / count


def main():
    folder, tokens, length, summary = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    wrong = {what: names for what, names in loading.items() if names}
    if wrong:
        sys.exit(f"torch2: transformers did not find the folder complete: {wrong}")
    if model.get_input_embeddings().weight.data_ptr() != model.get_output_embeddings().weight.data_ptr():
        sys.exit("torch2: the embeddings are not tied")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "Call me Ishmael. Some years ago, it\u2019s said: 12345 caf\u00e9s!"
    if tokenizer.decode(tokenizer.encode(text)) != text:
        sys.exit("torch2: the exported tokenizer does not give the text back")

    ids = array.array("H", pathlib.Path(tokens).read_bytes())
    rows = torch.tensor(ids, dtype=torch.long).reshape(-1, length + 1)
    theirs = held_out_loss(model.eval(), rows)
    ours = json.loads(pathlib.Path(summary).read_text())["eval_loss"]
    difference = abs(ours - theirs) / theirs
    print(f"torch2: held-out loss over {rows.shape[0]} sequences: Longhaul {ours:.7f}, "
          f"transformers {theirs:.7f}, relative difference {difference:.1e}")
    return 0 if difference <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
