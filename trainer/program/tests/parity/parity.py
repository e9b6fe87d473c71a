"""Are our BERT, RoBERTa and ModernBERT those of `transformers`? Same weights, same ragged batch, no dropout: logits, loss, the gradient
of every parameter by name, and ten AdamW steps.

    python parity.py path/to/the/example/parity [--cuda] [FOLDER...]
    python parity.py --fixture FOLDER

Each FOLDER is a Hugging Face model; first come small random ones. `--fixture` writes those, the batch, and what `transformers` gives,
for a test that needs no Python (`tests/parity.rs`). Needs torch and transformers; `--cuda` compares on a GPU. Exit status 1 when a difference is
larger than what float32 rounding explains.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM, BertConfig, ModernBertConfig, RobertaConfig

STEPS = 10
OPTIMIZER = {"learning_rate": 1e-4, "sequences": 6, "weight_decay": 0.01, "betas": [0.9, 0.999], "epsilon": 1e-8, "clip": 1.0}
# Of one tensor: the largest difference over the largest value; of weights, the length of the difference over the length of the way
# that the steps went. Sums in another order cost some 1e-6. AdamW divides by the gradient's size: where that is rounding, so is the step.
BOUNDS = {"logits": 1e-5, "losses": 1e-5, "gradients": 2e-5, "weights": 2e-3}


SHAPE = {"vocab_size": 61, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32}
# ModernBERT: two layers of four see a window of two tokens on each side.
SMALL = {
    "bert": BertConfig(**SHAPE, num_hidden_layers=2, max_position_embeddings=40),
    "roberta": RobertaConfig(**SHAPE, num_hidden_layers=2, max_position_embeddings=42, type_vocab_size=1, layer_norm_eps=1e-5),
    "modernbert": ModernBertConfig(
        **SHAPE, num_hidden_layers=4, max_position_embeddings=40, local_attention=4, pad_token_id=1, cls_token_id=0, bos_token_id=0,
        sep_token_id=2, eos_token_id=2,
    ),
}
WITHOUT_DROPOUT = {
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attention_dropout": 0.0, "mlp_dropout": 0.0, "embedding_dropout": 0.0,
}


def small(folder, kind):
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(SMALL[kind])
    for parameter in model.parameters():
        # Biases and layer norms, too: at their start they would hide mistakes.
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)


def without_dropout(folder):
    settings = json.loads((folder / "config.json").read_text())
    settings |= {name: value for name, value in WITHOUT_DROPOUT.items() if name in settings}
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")


def batch_for(config):
    draws = torch.Generator().manual_seed(1)
    lengths = [min(n, config.max_position_embeddings) for n in (37, 24, 24, 11, 5, 3)]
    # Positions of RoBERTa skip its padding, which is token 1.
    sequences = [torch.randint(2, config.vocab_size, (n,), generator=draws) for n in lengths]
    selected, labels, start = [], [], 0
    for n in lengths:
        for at in torch.randperm(n, generator=draws)[: max(1, n // 6)].sort().values.tolist():
            selected.append(start + at)
            labels.append(int(torch.randint(1, config.vocab_size, (1,), generator=draws)))
        start += n
    return sequences, selected, labels


def theirs(folder, sequences, selected, labels, device="cpu"):
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).train().to(device)
    width = max(len(s) for s in sequences)
    ids = torch.full((len(sequences), width), model.config.pad_token_id or 0, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    # Places of the row of all tokens, among the padded ones.
    flat = mask.flatten().nonzero().flatten()[torch.tensor(selected)].to(device)
    ids, mask, labels = ids.to(device), mask.to(device), torch.tensor(labels, device=device)
    plain = lambda name: name.endswith("bias") or "norm" in name.lower()
    decayed = [p for n, p in model.named_parameters() if not plain(n)]
    others = [p for n, p in model.named_parameters() if plain(n)]
    groups = [{"params": decayed, "weight_decay": OPTIMIZER["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=OPTIMIZER["learning_rate"], betas=OPTIMIZER["betas"], eps=OPTIMIZER["epsilon"])
    told, losses = {f"start {n}": p.detach().clone() for n, p in model.named_parameters()}, []
    for step in range(STEPS):
        logits = model(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[flat]
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            told["logits"] = logits.detach().clone()
            told |= {f"gradient {n}": p.grad.clone() for n, p in model.named_parameters()}
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER["clip"])
        optimizer.step()
    told["losses"] = torch.tensor(losses, dtype=torch.float64)
    told |= {f"weight {n}": p.detach().clone() for n, p in model.named_parameters()}
    return {name: tensor.cpu() for name, tensor in told.items()}


def write_batch(path, sequences, selected, labels):
    batch = {"sequences": [s.tolist() for s in sequences], "selected": selected, "labels": labels, "optimizer": OPTIMIZER, "steps": STEPS}
    path.write_text(json.dumps(batch) + "\n")


def fixture(folder):
    for kind in SMALL:
        place = folder / kind
        small(place, kind)
        without_dropout(place)
        batch = batch_for(AutoConfig.from_pretrained(place))
        write_batch(place / "batch.json", *batch)
        save_file({name: tensor.float().contiguous() for name, tensor in theirs(place, *batch).items()}, place / "wanted.safetensors")


def compare(program, folder, work, device):
    config = AutoConfig.from_pretrained(folder)
    sequences, selected, labels = batch_for(config)
    plain = work / "plain"
    shutil.copytree(folder, plain)
    without_dropout(plain)
    # A head that is absent starts at random: it is made here, for both.
    AutoModelForMaskedLM.from_pretrained(plain, dtype=torch.float32).save_pretrained(plain)
    write_batch(work / "batch.json", sequences, selected, labels)
    subprocess.run([program, plain, work / "batch.json", work / "ours.safetensors", device], check=True)
    ours, wanted = load_file(work / "ours.safetensors"), theirs(plain, sequences, selected, labels, device)
    starts = {name.removeprefix("start "): wanted.pop(name) for name in list(wanted) if name.startswith("start ")}
    missing = [name for name in wanted if name not in ours]
    if missing:
        sys.exit(f"{folder}: ours has no {missing[:5]}")
    worst = {}
    for name, theirs_ in wanted.items():
        kind = {"logits": "logits", "losses": "losses"}.get(name, name.split()[0] + "s")
        # The gradient of a key's bias is zero but for rounding, which AdamW then scales up. Positions up to the padding are not used.
        if name.endswith("key.bias"):
            continue
        apart = ours[name].double() - theirs_.double()
        if kind == "weights":
            way = theirs_.double() - starts[name.removeprefix("weight ")].double()
            difference = apart.norm() / way.norm().clamp_min(1e-12)
        else:
            difference = apart.abs().max() / theirs_.double().abs().max().clamp_min(1e-12)
        if difference.item() >= worst.get(kind, (-1.0, ""))[0]:
            worst[kind] = (difference.item(), name)
    good = True
    tensors = sum(name.startswith("gradient") for name in wanted)
    print(f"{folder}: {tensors} parameters, {len(selected)} predicted tokens, loss {wanted['losses'][0]:.4f}, after {STEPS} steps {wanted['losses'][-1]:.4f}")
    for kind, bound in BOUNDS.items():
        difference, name = worst[kind]
        good &= difference <= bound
        print(f"  {kind:10} largest difference {difference:.1e}, bound {bound:.0e}   {'ok' if difference <= bound else 'TOO LARGE'}   {name if kind in ('gradients', 'weights') else ''}")
    return good


def main():
    if sys.argv[1] == "--fixture":
        return fixture(pathlib.Path(sys.argv[2]))
    program, device = sys.argv[1], "cuda" if "--cuda" in sys.argv else "cpu"
    folders = [pathlib.Path(folder) for folder in sys.argv[2:] if folder != "--cuda"]
    good = True
    with tempfile.TemporaryDirectory() as work:
        for kind in SMALL:
            small(pathlib.Path(work) / f"small random {kind}", kind)
        random = [pathlib.Path(work) / f"small random {kind}" for kind in SMALL]
        for number, folder in enumerate([*random, *folders]):
            place = pathlib.Path(work) / str(number)
            place.mkdir()
            good &= compare(program, folder, place, device)
    sys.exit(0 if good else 1)


main()
