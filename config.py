"""Every option of every script, once: its name, default, unit and meaning.

A script asks for the groups it needs, `parse(__doc__, "network", "training", ...)`, and gets their values. Names of
several words may be written with underscores or dashes: `--save_folder` and `--save-folder` are the same option.

The paper's letters (arXiv 1809.07454, table I) mean the same in every file: N, L, B, Sc, H, P, X, R and C as NETWORK
says, M mixtures in a batch, T samples and K frames of a mixture.
"""

NETWORK = {
    "N": dict(type=int, default=512, help="filters of the encoder and decoder"),
    "L": dict(type=int, default=20, help="samples in a filter, even; the hop is half of it"),
    "B": dict(type=int, default=256, help="channels of the bottleneck and the residual path"),
    "Sc": dict(type=int, default=0, help="channels of the skip path; 0: none, the residual path makes the masks"),
    "H": dict(type=int, default=512, help="channels inside a convolutional block"),
    "P": dict(type=int, default=3, help="taps of the depthwise convolution, odd unless causal"),
    "X": dict(type=int, default=8, help="blocks in a repeat, with dilations 1, 2, 4 to 2^(X-1)"),
    "R": dict(type=int, default=4, help="repeats"),
    "C": dict(type=int, default=2, help="speakers"),
    "bias": dict(type=int, choices=(0, 1), default=0, help="1: biases in the convolutions of the separator"),
    "norm_type": dict(
        choices=("gLN", "cLN", "cgLN", "BN"),
        default="gLN",
        help="gLN: over the whole mixture; cLN: over each frame; cgLN: over the frames up to each, the paper's"
        " causal norm; BN: batch normalisation",
    ),
    "input_norm": dict(
        choices=("same", "gLN", "cLN", "cgLN", "BN"), default="same", help="norm before the bottleneck; same: norm_type"
    ),
    "causal": dict(type=int, choices=(0, 1), default=0, help="1: no look-ahead; needs cLN, cgLN or BN"),
    "mask_nonlinear": dict(choices=("relu", "sigmoid", "softmax"), default="relu", help="activation of the masks"),
    "mask_prelu": dict(type=int, choices=(0, 1), default=0, help="1: a PReLU before the mask convolution"),
    "encoder_relu": dict(type=int, choices=(0, 1), default=1, help="1: a ReLU after the encoder"),
    "padding": dict(
        choices=("tail", "none", "both"),
        default="tail",
        help="tail: zeros complete the last frame; none: samples of an incomplete last frame give zeros;"
        " both: a hop of zeros at either end, and the tail completed",
    ),
}

DEVICE = {
    "device_target": dict(choices=("Ascend", "GPU", "CPU"), default=None, help="where to compute; default: the best"),
    "device_id": dict(type=int, default=None, help="number of the card; default: the environment's DEVICE_ID, or 0"),
    "jit_level": dict(
        choices=("O0", "O1"),
        default=None,
        help="how Ascend runs a graph. O0: one operator after another, which compiles soonest; O1: with operators"
        " fused, which takes longer to compile and less at each step; default: what MindSpore takes for the card",
    ),
    "hf32": dict(
        type=int,
        choices=(0, 1),
        default=0,
        help="1: Ascend's products of float32 in HF32, faster, with 11 bits of mantissa (three digits); A2 cards on",
    ),
}

PRECISION = {
    "amp_level": dict(
        choices=("O0", "O2", "O3"),
        default="O0",
        help="O0: all in float32; O2: the separator's matrix products in --amp_type; O3, on a CPU also O2: all of them",
    ),
    "amp_type": dict(choices=("float16", "bfloat16"), default="float16", help="of --amp_level; on a CPU only bfloat16"),
}

DATA = {
    "sample_rate": dict(
        type=int, default=8000, help="samples a second that the network works at; files of other rates are resampled"
    ),
    "num_workers": dict(type=int, default=2, help="threads that read audio files"),
}

ON_BAD_FILE = dict(
    choices=("error", "skip"),
    default="error",
    help="where a file cannot be used: stop, or leave its mixture out, list it, and stop if over 1 %% are bad",
)

TRAINING_DATA = {
    "train_dir": dict(required=True, help="training set: folder of mix.json, s1.json, s2.json ..., or a MindRecord"),
    "valid_dir": dict(required=True, help="validation set, in either form"),
    "segment": dict(type=float, default=4.0, help="seconds of a training example; -1: whole mixtures"),
    "cv_maxlen": dict(type=float, default=8.0, help="seconds; longer mixtures are left out of the validation"),
    "shuffle": dict(type=int, choices=(0, 1), default=1, help="1: random order and crops; 0: tiles in order"),
    "dynamic_mixing": dict(
        type=int,
        nargs="?",
        choices=(0, 1),
        const=1,
        default=0,
        help="1, or without a value: draw other speakers, crops and gains in each epoch, from an index of LibriSpeech",
    ),
    "speed_change": dict(
        type=int, default=0, help="percent, such as 5: the most that --dynamic_mixing makes a voice faster or slower"
    ),
    "on_bad_file": ON_BAD_FILE,
    "batch_size": dict(type=int, default=2, help="examples in a batch; of each device, where there are several"),
    "seed": dict(type=int, default=0, help="of the weights, the order and the crops"),
}

TRAINING = {
    "config": dict(
        default=None, metavar="FILE", help="YAML file of options, a name and a value a line; the command line wins"
    ),
    "epochs": dict(type=int, default=100, help="passes over the training set, in all"),
    "optimizer": dict(choices=("sgd", "adam", "adamw"), default="adam", help="which optimiser"),
    "lr": dict(type=float, default=1e-3, help="learning rate, before --schedule and --warmup change it"),
    "schedule": dict(
        choices=("constant", "halve", "cosine"),
        default="constant",
        help="of the learning rate; halve: after every --patience epochs without improvement; cosine: down to 0 at the"
        " end of --epochs",
    ),
    "patience": dict(type=int, default=5, help="epochs in a row without a lower validation loss before halving"),
    "warmup": dict(type=int, default=0, help="steps in which the learning rate rises from 0"),
    "early_stop": dict(
        type=int, default=0, help="epochs in a row without a lower validation loss after which training ends; 0: never"
    ),
    "l2": dict(type=float, default=0.0, help="weight decay; of adamw, apart from the gradient"),
    "momentum": dict(type=float, default=0.0, help="momentum of sgd"),
    "max_norm": dict(type=float, default=5.0, help="largest norm of the whole gradient; 0: not limited"),
    "accumulate": dict(type=int, default=1, help="batches whose gradients make one step"),
    "ema": dict(type=float, default=0.0, help="keep of a moving average of weights at a step, such as 0.999; 0: none"),
    "average_best": dict(type=int, default=0, help="average the weights of so many best epochs at the end; 0: do not"),
    **PRECISION,
    "max_bad_steps": dict(
        type=int, default=20, help="steps in a row without a finite loss and gradient, all skipped, before giving up"
    ),
    "save_folder": dict(required=True, help="where checkpoints and history go; made if missing; a run in it goes on"),
    "continue_from": dict(default=None, help="checkpoint of an earlier run in another folder, to go on from"),
    "init_from": dict(
        default=None,
        help="checkpoint whose weights, and nothing else, a new run begins with; layers of another shape begin anew,"
        " a deeper network's further blocks add nothing at first, and a causal network leaves out what looks ahead",
    ),
    "save_every": dict(type=int, default=1000, help="steps from one last.ckpt to the next; 0: after epochs only"),
    "keep_checkpoint_max": dict(
        type=int, default=3, help="latest epochs whose checkpoints are kept, beside the last, best and averaged ones"
    ),
    "tensorboard": dict(type=int, choices=(0, 1), default=0, help="1: write TensorBoard events too"),
    "distribute": dict(
        type=int, choices=(0, 1), default=0, help="1: one of several processes, as run_distribute_train.sh starts them"
    ),
    "max_minutes": dict(
        type=float,
        default=0.0,
        help="end after so many minutes, within an epoch too, which counts as done; 0: no limit",
    ),
}

MODEL_FILE = {
    "model_path": dict(default=None, help="checkpoint of train.py or convert.py; default: one of checkpoints/, printed")
}

EVALUATION = {
    "data_dir": dict(required=True, help="test set: folder of mix.json, s1.json, s2.json ..., or a MindRecord"),
    "batch_size": dict(type=int, default=1, help="rows of mixtures, 16 to 24 s or the longest, separated at once"),
    "metrics": dict(
        nargs="+",
        choices=("si_snr", "sdr", "stoi", "pesq"),
        default=["si_snr", "sdr"],
        help="what to compute; si_snr always is. stoi and pesq (at 8000 and 16000 Hz) need requirements/extras.txt",
    ),
    "out_dir": dict(default="results", help="folder for results.csv, summary.json and report.html; made if missing"),
    "speakers_file": dict(
        default=None,
        help="LibriSpeech's SPEAKERS.TXT, for results by sex; default: that of the LibriSpeech folder that the index"
        " mixes from",
    ),
    "num_workers": DATA["num_workers"],
}

SEPARATION = {
    "files": dict(
        nargs="+",
        metavar="FILE",
        help="recordings of any rate and of formats that libsndfile or PyAV reads, folders of them, patterns such as"
        " 'a/*.flac'; -: wav from standard input to standard output",
    ),
    "out_dir": dict(default=None, help="folder for NAME_s1.wav, NAME_s2.wav ...; made if missing; none with -"),
    "channel": dict(default="mix", help="which channel to separate, from 1; mix: the mean of all"),
    "encoding": dict(
        choices=("16", "24", "float"),
        help="bits of a sample, or 32-bit float, also where integers would clip; default: the recording's, 16 at least",
    ),
    "speakers": dict(default="all", help="voices to keep, from 1, the other files silent; auto: as many as speak"),
    "overwrite": dict(action="store_true", help="replace estimates that are there already"),
    "segments": dict(action="store_true", help="write who speaks when into NAME.rttm and NAME.json too"),
    "skip_existing": dict(action="store_true", help="leave out recordings whose estimates are all there already"),
    "plot": dict(action="store_true", help="draw waveforms and spectrograms into NAME.png too"),
    "streaming": dict(
        action="store_true", help="separate - as it comes, a hop late; by causal networks, at their rate"
    ),
    "chunk": dict(type=float, default=20.0, help="milliseconds that --streaming reads at once"),
}

EXPORT = {
    "file_name": dict(required=True, help="file to write; its ending is added if missing"),
    "file_format": dict(choices=("MINDIR", "ONNX"), default="MINDIR", help="what to write"),
    "length": dict(
        default="4",
        help="audio that the exported network takes: seconds, such as 4 or 0.5; samples, such as 32000samples; or any,"
        " of MINDIR only, which is slower on a CPU",
    ),
    "batch_size": dict(type=int, default=1, help="mixtures the exported network takes at once"),
}

EXPORTED_FILE = {
    "model_file": dict(required=True, help="MindIR or ONNX file of export.py, with its FILE.json beside it")
}

INFERENCE = {
    "data_dir": EVALUATION["data_dir"],
    "pieces_dir": dict(required=True, help="folder of the pieces and of pieces.json, which says where they lie"),
}

INFERENCE_RESULT = {
    "estimates_dir": dict(required=True, help="folder of what ascend310_infer's main made of the pieces"),
    "csv": dict(default="results.csv", help="file of one row a mixture"),
    "compare_whole": dict(
        type=int, choices=(0, 1), default=1, help="1: also evaluate whole mixtures, with the checkpoint in Python"
    ),
}

CONVERSION = {
    "source": dict(choices=("kaituoxu", "asteroid", "torchaudio"), required=True, help="whose weights they are"),
    "in_file": dict(metavar="IN", help=".pth, .bin or .npz file of weights"),
    "out_file": dict(metavar="OUT", help="checkpoint to write"),
    "X": NETWORK["X"] | dict(default=None),
    "norm_type": NETWORK["norm_type"] | dict(default=None),
    "mask_nonlinear": NETWORK["mask_nonlinear"] | dict(default=None),
    "encoder_relu": NETWORK["encoder_relu"] | dict(default=None),
    "sample_rate": dict(type=int, default=None, help="samples a second of the audio that the network is for"),
}

PUBLICATION = {
    "in_file": dict(metavar="SOURCE", help="checkpoint that train.py or convert.py wrote"),
    "out_file": dict(metavar="TARGET", help="checkpoint to write"),
}

PREPARATION = {
    "in_dir": dict(default=None, help="LibriMix folder (any level of it), or a folder of tr, cv, tt with mix, s1, s2"),
    "librispeech_dir": dict(default=None, help="LibriSpeech folder, whose utterances the metadata mix"),
    "metadata_dir": dict(default=None, help="folder of LibriMix metadata (libri2mix_*.csv)"),
    "noise_dir": dict(default=None, help="folder that the metadata's noise paths start in; for tasks with noise"),
    "out_dir": dict(default=None, help="where the index goes: tr/, cv/ and tt/"),
    "generate": dict(default=None, metavar="DIR", help="write the LibriMix tree itself into this folder"),
    "task": dict(
        choices=("sep_clean", "sep_noisy", "enh_single", "enh_both"),
        default="sep_clean",
        help="what is asked for. sep_clean: each speaker; sep_noisy: each speaker, without the noise; enh_single: one"
        " speaker without the noise; enh_both: all speakers together without it",
    ),
    "mode": dict(choices=("min", "max"), default="min", help="mixtures cut to the shortest, or padded to the longest"),
    "sample_rate": dict(type=int, default=8000, help="samples a second of the mixtures, and of their lengths"),
    "train_name": dict(default=None, help="also write the training set as a MindRecord file of this name"),
    "test_name": dict(default=None, help="also write the test set as a MindRecord file of this name"),
    "shards": dict(type=int, default=1, help="files of each MindRecord"),
    "check": dict(choices=("sample", "all", "none"), default="sample", help="mixtures of --in-dir held to their sums"),
    "on_bad_file": ON_BAD_FILE,
}

CORPUS = {"out_dir": dict(required=True, help="folder for LibriSpeech/ and metadata/; made if missing")}
PAGE = {"port": dict(type=int, default=None, help="where the page is on 127.0.0.1; default: the first free from 7860")}

# Options that are given by their place on the command line, without a name.
POSITIONAL = ("files", "in_file", "out_file")

STARTED = ("separate", "evaluate", "train", "export")
BENCHMARK = {
    "what": dict(
        choices=("forward", "step", "products", "evaluate", "network", "equal", "separate", "start", "data", "stream"),
        default="forward",
        help="what to time; forward: the network; step: a step of training; products: the forward pass and its matrix"
        " products alone; network: separating 100 mixtures of 100 lengths; evaluate: that, and with SI-SNR and SDR"
        " too; equal: that, and equal lengths; separate: recordings, one by one, from files to files; start: whole"
        " --scripts; data: reading training batches; stream: chunks of one, causal, on one core",
    ),
    "scripts": dict(nargs="+", choices=STARTED, default=list(STARTED), help="of start: which to time to their result"),
    "batch": dict(type=int, default=2, help="mixtures in a batch; of separate, start: recordings"),
    "seconds": dict(type=float, nargs="+", default=[4.0], help="of a mixture, of evaluate on average; one by one"),
    "chunk": dict(type=float, default=20.0, help="milliseconds of a chunk of stream"),
    "rounds": dict(type=int, default=9, help="rounds that are timed; of data: epochs; of stream: chunks"),
    "warmup": dict(type=int, default=2, help="rounds before those; the first may compile"),
    "peer": dict(default=None, metavar="FILE", help="program to time in turn with ours, such as torch_baseline.py"),
    "peer_python": dict(default=None, metavar="FILE", help="Python that runs the peer; default: this one"),
    "engine": dict(choices=("eager", "compile"), default="eager", help="how the peer runs its network"),
    "results": dict(default=None, metavar="FILE", help="append the results to this file, a JSON object a line"),
    "chart": dict(default=None, metavar="FILE", help="time nothing, but draw the results so far into this PNG file"),
    "serve": dict(action="store_true", help="be timed: run one round for each line of standard input"),
}

GROUPS = dict(
    network=NETWORK, device=DEVICE, precision=PRECISION, data=DATA, training_data=TRAINING_DATA, training=TRAINING,
    model_file=MODEL_FILE, evaluation=EVALUATION, separation=SEPARATION, export=EXPORT, exported_file=EXPORTED_FILE,
    inference=INFERENCE, inference_result=INFERENCE_RESULT, conversion=CONVERSION, publication=PUBLICATION,
    preparation=PREPARATION, corpus=CORPUS, benchmark=BENCHMARK, page=PAGE,
)  # fmt: skip
