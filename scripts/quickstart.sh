#!/usr/bin/env bash
# The whole way on the CPU in minutes: speaks a small corpus, mixes it and separates two mixtures with the weights that
# come with the project. Then it trains a small network of its own, evaluates it on sentences that it was not trained
# on, separates the same two mixtures with it and exports it.
#
#     bash scripts/quickstart.sh
#
# Everything goes into quickstart/ in the checkout. A second run keeps the corpus and trains anew in a folder of its own.
set -euo pipefail
if (($#)); then
    echo "usage: bash scripts/quickstart.sh (it takes no options)" >&2
    exit 2
fi

network_and_training=(
    --N 128 --L 16 --B 64 --H 128 --P 3 --X 6 --R 2
    --segment 2 --batch_size 4 --lr 2e-3 --epochs 30 --max_minutes 5
)

# step COMMAND...: say what is run, and run it.
step() {
    printf '\n[%d s] $ %s\n' "$SECONDS" "$*"
    "$@"
}

# shellcheck source=scripts/setup_env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/setup_env.sh" requirements.txt requirements/quickstart.txt
cd -- "$root"
python=.venv/bin/python

# Another way of making the corpus makes another corpus, beside the old.
version="$(cat scripts/{make_corpus.py,speech.py,sentences.json} | cksum)"
corpus="quickstart/corpus-${version%% *}"
number=1
while [[ -e "quickstart/run-$number" ]]; do
    number=$((number + 1))
done
run="quickstart/run-$number"
mkdir -p "$run"

step "$python" -m scripts.make_corpus --out_dir "$corpus"
step "$python" preprocess.py --librispeech-dir "$corpus/LibriSpeech" --metadata-dir "$corpus/metadata" \
    --generate "$corpus/LibriMix" --out-dir "$corpus/index"
mixtures=("$corpus"/LibriMix/Libri2Mix/wav8k/min/test/mix_clean/*.wav)
step "$python" separate.py --out_dir "$run/shipped" --device_target CPU "${mixtures[@]:0:2}"
printf '\nTo hear now: two mixtures, and the voices that the weights in checkpoints/ separated them into:\n'
printf '  %s\n' "${mixtures[@]:0:2}" "$run"/shipped/*.wav

step "$python" train.py --train_dir "$corpus/index/tr" --valid_dir "$corpus/index/cv" --save_folder "$run" \
    --device_target CPU "${network_and_training[@]}"
step "$python" evaluate.py --model_path "$run/best.ckpt" --data_dir "$corpus/index/tt" --batch_size 4 \
    --out_dir "$run/results" --device_target CPU | tee "$run/evaluate.log"
step "$python" separate.py --model_path "$run/best.ckpt" --out_dir "$run/separated" --device_target CPU \
    "${mixtures[@]:0:2}"
step "$python" export.py --model_path "$run/best.ckpt" --file_name "$run/conv_tasnet" --file_format MINDIR \
    --device_target CPU

printf '\nDone in %d min %d s.\n' $((SECONDS / 60)) $((SECONDS % 60))
echo "The same two mixtures, separated by the network trained here: $root/$run/separated"
echo "How well the test set is separated, to see and hear: $root/$run/results/report.html"
tail -n 1 "$run/evaluate.log"
