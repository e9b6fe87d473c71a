"""Uploads a model to the Hugging Face hub: what transformers reads, the card and the recipe.

    python examples/upload.py my-shop/runs/e-bert/model owner/my-shop-bert --yes

Needs huggingface_hub, and a login (`hf auth login`, or HF_TOKEN). Without --yes it prints what it
would upload. Set `license` at the top of README.md first.
"""
import pathlib
import sys

from huggingface_hub import HfApi, ModelCard

folder, name = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
card = ModelCard.load(folder / "README.md")
print("card", card.data.to_dict())
for file in sorted(folder.iterdir()):
    print(file.name, f"{file.stat().st_size / 1e6:.1f} MB")
if "--yes" in sys.argv:
    if card.data.license == "unknown":
        sys.exit("README.md has no license yet: set `license` at its top")
    api = HfApi()
    api.create_repo(name, private=True, exist_ok=True)
    print(api.upload_folder(repo_id=name, folder_path=folder, commit_message="Trained with ebert"))
