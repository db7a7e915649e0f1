"""`sdcpu quantize`: a smaller copy of a model file."""

from __future__ import annotations

from pathlib import Path

import click

from sdcpu.cli.options import OUTPUT_FILE, json_option
from sdcpu.cli.output import print_json, print_note, print_result
from sdcpu.figures import size_text


@click.command(
    short_help="Write a smaller copy of a model file.",
    epilog="""\b
Examples:
  sdcpu quantize dreamshaper.safetensors dreamshaper-q8_0.gguf
  sdcpu quantize dreamshaper.safetensors dreamshaper-q4_0.gguf --type q4_0""",
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=OUTPUT_FILE)
@click.option(
    "--type",
    "tensor_type",
    default="q8_0",
    show_default=True,
    metavar="TYPE",
    help="q8_0 is nearly as good as the original, q4_0 smallest at good quality.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it is there already.")
@json_option
def quantize(source: Path, target: Path, tensor_type: str, force: bool, as_json: bool) -> None:
    """Write the model file IN again as the GGUF file OUT, with smaller numbers in it.

    The picture changes a little, the file and the memory shrink. This takes about as long as
    copying the file twice.
    """
    from sdcpu.cli.outputs import check_file
    from sdcpu.quantization import quantize as write_quantized
    from sdcpu.weights import read_header

    tensor_type = tensor_type.lower()
    check_file(target, force=force)
    write_quantized(source, target, tensor_type)
    before, after = (read_header(path).weights_size for path in (source, target))
    if as_json:
        print_json(
            {"path": target.absolute(), "type": tensor_type, "bytes_in": before, "bytes_out": after}
        )
    else:
        print_note(f"{size_text(before)} became {size_text(after)}")
        print_result(str(target))
