#!/usr/bin/env bash
# Fetches the models that the tests marked `real` read from the Hugging Face
# hub, 5 GB in all:
#
#   scripts/fetch_real_models.sh DIR
#   SPECCASCADE_REAL_MODELS=DIR python -m pytest -m real tests/parity
#
# Gemma must have been asked for on its page; `hf auth login` then tells who
# asks. Needs pip install -e '.[parity]'.
set -euo pipefail
folder=${1:?usage: scripts/fetch_real_models.sh DIR}

fetch() {
  hf download "$1" --local-dir "$folder/$2" \
    --include '*.json' --include '*.safetensors' --include '*.model'
}

fetch HuggingFaceTB/SmolLM2-135M-Instruct smollm2-135m-instruct
fetch Qwen/Qwen2.5-Coder-0.5B-Instruct qwen2.5-coder-0.5b-instruct
fetch Qwen/Qwen2.5-Coder-1.5B-Instruct qwen2.5-coder-1.5b-instruct
fetch google/gemma-3-270m gemma-3-270m  # Last: it may be refused.
