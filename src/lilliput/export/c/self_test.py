"""A program that runs the network on known inputs and says whether it answers as LiteRT does."""

from collections.abc import Iterable, Sequence

from lilliput.export.c.emit import array_text, names_of
from lilliput.export.c.network import Network
from lilliput.export.format import Array

__all__ = ["emit_self_test"]


def emit_self_test(network: Network, inputs: Sequence[Array], answers: Sequence[Array]) -> str:
    """The text of `test_model.c`; its exit status is 0 where all is equal.

    Args:
        network: For the names of its ends.
        inputs: One array for each input, the first axis counting runs.
        answers: One array for each output, likewise.
    """
    ins, outs = names_of("in", network.inputs), names_of("out", network.outputs)
    runs = len(inputs[0])
    lines = [
        "/* Runs the network on known inputs; exits with 0 where it answers as LiteRT does. */",
        '#include "model.h"\n',
        *_vectors("given", ins, inputs),
        *_vectors("wanted", outs, answers),
        "int main(void)\n{",
        "    int wrong = 0;",
        f"    for (int run = 0; run < {runs}; run++) {{",
    ]
    sizes = [array[0].size for array in answers]
    for name, size in zip(outs, sizes, strict=True):
        lines.append(f"        static int8_t {name}[{size}];")
    arguments = [f"given_{name}[run]" for name in ins] + outs
    lines.append(f"        lilliput_invoke({', '.join(arguments)});")
    for name, size in zip(outs, sizes, strict=True):
        lines += [
            f"        for (int i = 0; i < {size}; i++) {{",
            f"            wrong += {name}[i] != wanted_{name}[run][i];",
            "        }",
        ]
    return "\n".join([*lines, "    }", "    return wrong != 0;", "}", ""])


def _vectors(word: str, names: Iterable[str], arrays: Sequence[Array]) -> Iterable[str]:
    for name, array in zip(names, arrays, strict=True):
        yield array_text(f"{word}_{name}", array.reshape(len(array), -1))
