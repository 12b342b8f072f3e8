"""Where, by what and in what a model computes, as words: what a command line may say before torch is imported."""

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
ENGINE_PRECISIONS = (*PRECISIONS, "fp16")
"""What engines multiply in: half precision too, which nothing is trained in."""
ENGINES = ("tensorrt", "cudagraphs", "cpu", "onnx", "compile", "eager")
"""The fastest first; :data:`worldsim.engine.select.BACKENDS` says how each is made."""
ALIASES = {"fast": "cpu", "plain": "eager", "inductor": "compile"}
"""What engines are called besides."""
