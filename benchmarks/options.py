"""The options of benchmark.py, which config.py lists with all others."""

BENCHMARK = {
    "what": dict(
        choices=("forward", "step", "products", "evaluate", "network", "equal", "separate", "data", "stream"),
        default="forward",
        help="what to time; forward: the network; step: a step of training; products: the forward pass and its matrix"
        " products alone; network: separating 100 utterances of 100 lengths; evaluate: that, and with SI-SNR and SDR"
        " too; equal: that, and equal lengths; separate: recordings, one by one, from files to files; data: reading"
        " training batches; stream: a causal network on one core, a chunk of a stream a round",
    ),
    "batch": dict(type=int, default=2, help="mixtures in a batch; of separate: recordings"),
    "seconds": dict(
        type=float,
        nargs="+",
        default=[4.0],
        help="seconds of a mixture, of evaluate on average; several are timed one by one",
    ),
    "chunk": dict(type=float, default=20.0, help="milliseconds of a chunk of stream"),
    "rounds": dict(type=int, default=9, help="rounds that are timed; of data: epochs; of stream: chunks"),
    "warmup": dict(type=int, default=2, help="rounds before those, the first of which compiles"),
    "peer": dict(default=None, metavar="FILE", help="program to time in turn with ours, such as torch_baseline.py"),
    "peer_python": dict(default=None, metavar="FILE", help="Python that runs the peer; default: this one"),
    "engine": dict(choices=("eager", "compile"), default="eager", help="how the peer runs its network"),
    "results": dict(default=None, metavar="FILE", help="append the results to this file, a JSON object a line"),
    "chart": dict(default=None, metavar="FILE", help="time nothing, but draw the results so far into this PNG file"),
    "serve": dict(action="store_true", help="be timed: run one round for each line of standard input"),
}
