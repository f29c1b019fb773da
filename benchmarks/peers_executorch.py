"""ExecuTorch's own int8: PT2E quantization with XNNPACKQuantizer, and the same lowering as ours."""

from pathlib import Path

import numpy as np
import torch

import lilliput as lp
from lilliput.export.executorch.converter import convert
from lilliput.export.quiet import quiet

__all__ = ["quantize"]


def quantize(model: lp.Model, images: np.ndarray, path: Path) -> None:
    """Static int8, weights per channel, ranges of all images; batches of one."""
    with quiet():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        module, inputs = model.module.eval(), tuple(x[:1] for x in model.example_inputs)
        rules = get_symmetric_quantization_config(is_per_channel=True)
        quantizer = XNNPACKQuantizer().set_global(rules)
        prepared = prepare_pt2e(torch.export.export(module, inputs).module(), quantizer)
        with torch.no_grad():
            for image in torch.from_numpy(images).split(1):
                prepared(image)
        program = torch.export.export(convert_pt2e(prepared), inputs)
    path.write_bytes(convert(program))
