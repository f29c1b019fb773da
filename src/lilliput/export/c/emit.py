"""C99 text of a program: constants, the kernels it uses, and the calls in order."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files

import numpy as np

from lilliput.export.c.calls import Argument, Call, calls_text
from lilliput.export.c.lower.step import Program, Step
from lilliput.export.c.network import Network
from lilliput.export.c.plan import Plan, scratch_of
from lilliput.export.format import Array

__all__ = ["array_text", "emit_header", "emit_source", "names_of"]

_KERNELS = files("lilliput.export.c") / "kernels"
_WIDTH = 100
_SHARED = (
    "doubled_high",
    "divided",
    "scaled",
    "scaled_once",
    "clamped",
    "saturated",
    "high_product",
    "rescaled",
    "rescaled_once",
    "narrowed",
    "window",
    "column",
    "rescaled_four",
    "filters_by_2x2",
    "filters_by_2x4",
    "filters_over_map",
    "dot_4x1",
    "packed",
    "unpack",
    "two_halfwords",
    "taps_3x3",
    "rescaled_along",
    "line_3x3",
)
"""What kernels call, in an order in which each calls only those before it."""
_HOOK = (
    "/* Called with the number of each layer once it has run, if a program defines it. */",
    "#ifndef LILLIPUT_AFTER",
    "#define LILLIPUT_AFTER(layer) ((void)0)",
    "#endif\n",
)
_Held = dict[tuple[str, bytes, bytes], str]
"""What constant arrays and structs are called."""
_TYPES = {name: f"{name}_t" for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32")}


def emit_header(program: Program, plan: Plan, title: str) -> str:
    """The text of `model.h`.

    Args:
        program: The calls.
        plan: Where tensors lie.
        title: What the comment on top calls the network.
    """
    network = program.network
    facts = [
        f"/* {_comment(title)}: {program.macs:,} multiplications. Made by Lilliput. */",
        "#ifndef LILLIPUT_MODEL_H",
        "#define LILLIPUT_MODEL_H",
        "",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "/* Bytes of the static arena, which holds what flows between layers. */",
        f"#define LILLIPUT_ARENA_BYTES {max(4, plan.size)}",
        "",
        *_ends(network, network.inputs, "INPUT"),
        *_ends(network, network.outputs, "OUTPUT"),
        *_places(network, plan),
        "/* Runs the network once; integers are round(real / SCALE) + ZERO_POINT. */",
        f"void lilliput_invoke({_parameters(network)});",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return "\n".join(facts)


def _places(network: Network, plan: Plan) -> Iterable[str]:
    """Where inputs may lie, so that they take no bytes of their own."""
    yield "extern int32_t lilliput_arena[LILLIPUT_ARENA_BYTES / 4];"
    for place, index in enumerate(network.inputs):
        name = "LILLIPUT_INPUT" + (f"_{place}" if place else "")
        if index in plan.offsets:
            given = names_of("in", network.inputs)[place]
            yield f"/* May be given as {given}, and is written over. */"
            yield f"#define {name} ((int8_t *)lilliput_arena + {plan.offsets[index]})"
    yield ""


def _ends(network: Network, tensors: Iterable[int], word: str) -> Iterable[str]:
    for place, index in enumerate(tensors):
        tensor = network.tensors[index]
        name = f"LILLIPUT_{word}" + (f"_{place}" if place else "")
        shape = " x ".join(str(size) for size in tensor.shape)
        yield f"/* {_comment(tensor.name)}: {shape} */"
        yield f"#define {name}_BYTES {tensor.count}"
        yield f"#define {name}_SCALE {float(tensor.scale):.9g}f"
        yield f"#define {name}_ZERO_POINT ({tensor.zero_point})"
        yield ""


def _parameters(network: Network) -> str:
    inputs = [f"const int8_t *{name}" for name in names_of("in", network.inputs)]
    outputs = [f"int8_t *{name}" for name in names_of("out", network.outputs)]
    return ", ".join([*inputs, *outputs])


def names_of(word: str, tensors: Iterable[int]) -> list[str]:
    """What C calls the ends of a network: `in`, `in_1`, ..."""
    return [word + (f"_{place}" if place else "") for place, _ in enumerate(tensors)]


def emit_source(program: Program, plan: Plan, title: str) -> str:
    """The text of `model.c`; see `emit_header`."""
    texts = _texts(sorted({step.kernel for step in program.steps}))
    held: _Held = {}
    constants = [*_constants(program, held)]
    arena = ["int32_t lilliput_arena[LILLIPUT_ARENA_BYTES / 4];", ""]
    parts = [
        f"/* {_comment(title)}. Made by Lilliput.\n\n{_table(program, plan)} */",
        '#include "model.h"\n',
        *_HOOK,
        *texts,
        *constants,
        *arena,
        f"void lilliput_invoke({_parameters(program.network)})\n{{",
        *calls_text([*_calls(program, plan, held)]),
        "}\n",
    ]
    return "\n".join(parts)


def _texts(kernels: Iterable[str]) -> list[str]:
    """The kernels and, before them, what they share; nothing that is not called."""
    texts = [_text(name) for name in kernels]
    for name in reversed(_SHARED):
        if any(re.search(rf"\b{name}\(|struct {name}\b", text) for text in texts):
            texts.insert(0, _text(name))
    return texts


def _text(name: str) -> str:
    return (_KERNELS / f"{name}.c").read_text("utf-8")


def _constants(program: Program, held: _Held) -> Iterable[str]:
    """Arrays, equal ones once, then what each call is told."""
    for number, step in enumerate(program.steps):
        for name, array in step.arrays.items():
            helium = step.on_helium.get(name)
            key = _key(array, helium)
            if key not in held:
                held[key] = f"{name.replace('.', '_')}_{number}"
                text = array_text(held[key], array)
                yield text if helium is None else _either(text, array_text(held[key], helium))
        for place in map(program.place_of, step.reads):
            data = program.network.tensors[place].data
            if data is not None and _key(data) not in held:
                held[_key(data)] = f"constant_{place}"
                yield array_text(f"constant_{place}", data.reshape(-1))
    names = Counter[int | None]()
    for step in program.steps:
        told = _told(step, held)
        if told in held:
            continue
        held[told] = _name(step.layer, names[step.layer])
        names[step.layer] += 1
        yield f"static const struct {step.kernel} {held[told]} = {{\n{told[1].decode()}\n}};\n"


def _name(layer: int | None, before: int) -> str:
    """`layer_3`, `layer_3_1` where calls differ, and `move`, `move_1` between them."""
    stem = "move" if layer is None else f"layer_{layer}"
    return f"{stem}_{before}" if before else stem


def _told(step: Step, held: _Held) -> tuple[str, bytes, bytes]:
    """What a call is told, the same for equal ones: its kernel and its struct."""
    arrays = step.arrays.items()
    fields = [(name, held[_key(array, step.on_helium.get(name))]) for name, array in arrays]
    fields += [(name, str(value)) for name, value in step.settings.items()]
    text = _wrapped(", ".join(f".{name} = {value}" for name, value in fields))
    return step.kernel, text.encode(), b""


def _key(array: Array, on_helium: Array | None = None) -> tuple[str, bytes, bytes]:
    """The same for arrays that are equal on every processor."""
    return array.dtype.name, array.tobytes(), b"" if on_helium is None else on_helium.tobytes()


def _either(text: str, on_helium: str) -> str:
    """What lies in flash, by the processor."""
    return f"#if !defined(__ARM_FEATURE_MVE)\n{text}#else\n{on_helium}#endif\n"


def array_text(name: str, array: Array) -> str:
    """A constant array of one axis or two."""
    sizes = "".join(f"[{size}]" for size in array.shape)
    form = "0x{:08x}u" if array.dtype == np.uint32 else "{}"
    rows = [", ".join(map(form.format, row.tolist())) for row in np.atleast_2d(array)]
    text = "\n".join(map(_wrapped, rows))
    if array.ndim > 1:
        text = ",\n".join(f"    {{\n{_wrapped(row)}\n    }}" for row in rows)
    return f"static const {_TYPES[array.dtype.name]} {name}{sizes} = {{\n{text}\n}};\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )


def _calls(program: Program, plan: Plan, held: _Held) -> Iterable[Call]:
    network = program.network
    constants = {
        place: held[_key(tensor.data)]
        for place, tensor in enumerate(network.tensors)
        if tensor.data is not None and _key(tensor.data) in held
    }
    ends = dict(zip(network.inputs, names_of("in", network.inputs), strict=True))
    results = dict(
        zip(map(program.place_of, network.outputs), names_of("out", network.outputs), strict=True)
    )
    names = {**results, **ends, **constants}
    last = {step.layer: number for number, step in enumerate(program.steps)}
    for number, step in enumerate(program.steps):
        places = [program.place_of(tensor) for tensor in (*step.reads, step.writes)]
        given = [
            Argument(names[place], start)
            if place in names
            else Argument("(int8_t *)lilliput_arena", plan.offsets[place] + start)
            for place, start in zip(places, step.starts or [0] * len(places), strict=True)
        ]
        if step.scratch is not None:
            given.append(Argument("lilliput_arena", plan.offsets.get(scratch_of(step), 0) // 4))
        is_last = step.layer is not None and last[step.layer] == number
        then = f"LILLIPUT_AFTER({step.layer});" if is_last else ""
        yield Call(step.kernel, held[_told(step, held)], tuple(given), then)


def _table(program: Program, plan: Plan) -> str:
    lines = [f"   {'layer':32} {'output':20} {'MACs':>12} {'constants':>12} {'calls':>6}"]
    layers: dict[int, list[Step]] = {}
    for step in program.steps:
        if step.layer is not None:
            layers.setdefault(step.layer, []).append(step)
    for calls in layers.values():
        step = calls[-1]
        shape = " x ".join(str(size) for size in program.network.tensors[step.writes].shape)
        held = sum(array.nbytes for array in step.arrays.values())
        macs = sum(call.macs for call in calls)
        name = f"{step.operator.place} {step.kernel}"
        lines.append(f"   {name:32} {shape:20} {macs:12,} {held:10,} B {len(calls):6,}")
    lines.append(f"   arena: {plan.size:,} bytes, of which {plan.bound:,} are needed at once")
    return "\n".join(lines)


def _comment(text: str) -> str:
    """Text that cannot end a comment, nor make a trigraph of one."""
    return "".join(c if c.isalnum() or c in " ._-:;/[](){}," else "?" for c in text)
