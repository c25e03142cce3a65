"""`kvprof solve`: longest context, most sequences, least memory, best block size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from kvprof.commands.options import (
    chosen_engines,
    chosen_models,
    memory_options,
    model_options,
    output_options,
    point_options,
)
from kvprof.commands.question import QUESTIONS, check_question
from kvprof.commands.values import One, flatten
from kvprof.units import parse_lengths

if TYPE_CHECKING:
    from kvprof.answer import Given, SequencesOf
    from kvprof.case import Case, Solution


@click.command("solve")
@click.argument("question", type=click.Choice(QUESTIONS), metavar="QUESTION")
@model_options
@point_options(engine="paged", tokens="none", sequences="1")
@click.option(
    "--lengths",
    type=One(parse_lengths, "lengths"),
    multiple=True,
    metavar="COUNTxTOKENS,...",
    help="A batch of mixed lengths, e.g. 32x512,8x4k, for block-size (repeatable).",
)
@memory_options
@output_options
@click.pass_obj
def command(session: Any, /, question: str, **options: Any) -> None:
    """Answer an inverse question, and show why the answer is right.

    \b
    context     the longest context of --sequences in a memory
    sequences   the most sequences of --tokens in a memory
    memory      the least memory for --sequences of --tokens
    block-size  the block size that wastes least for --lengths, or --tokens and --sequences

    \b
    kvprof solve context --model llama-3-8b --memory 16GiB --sequences 8
    kvprof solve sequences --arch hybrid --tokens 4k,32k --device-memory 80GiB --weights auto
    kvprof solve block-size --model gemma-3-27b --lengths 32x512,8x4k,1x32k
    """  # noqa: D301 - \b is for click
    from kvprof.case import Case, solve_result  # noqa: PLC0415
    from kvprof.commands.emit import emit  # noqa: PLC0415
    from kvprof.memory import weights_bytes  # noqa: PLC0415
    from kvprof.output import Destination  # noqa: PLC0415
    from kvprof.size import Request  # noqa: PLC0415

    check_question(question, options)
    destination = Destination(options["output"], force=options["force"])
    engines = chosen_engines(options)
    base = Request(
        tokens=1,
        encoder_tokens=options["encoder_tokens"],
        cache_dtype=options["cache_dtype"],
        state_dtype=options["state_dtype"],
        tensor_parallel=options["tensor_parallel"],
        engine_options=options["engine_option"],
    )
    results = []
    for model in chosen_models(options["arch"], options["model"], options["config"]):
        weights = weights_bytes(options["weights"], model)
        for engine in engines:
            case = Case(model, engine, base)
            for sized, given, solution in _answers(question, case, options, weights):
                results.append(solve_result(sized, question.replace("-", "_"), given, solution))
    emit("solve", results, destination, options["format_"], session)


def _answers(
    question: str, case: Case, options: dict[str, Any], weights: int | None
) -> Iterator[tuple[Case, Given, Solution]]:
    """One solution for each combination of tokens, sequences and block size."""
    if question == "block-size":
        yield from _block_sizes(case, options)
        return
    from msgspec.structs import replace  # noqa: PLC0415

    from kvprof.answer import Given  # noqa: PLC0415
    from kvprof.memory import cache_memory  # noqa: PLC0415

    memory = cache_memory(options["memory"], options["device_memory"], weights)
    for tokens, sequences, block_size in product(
        flatten(options["tokens"]) or (None,),
        flatten(options["sequences"]) or (None if question == "sequences" else 1,),
        flatten(options["block_size"]) or (None,),
    ):
        given = Given(
            tokens=tokens,
            sequences=sequences,
            encoder_tokens=options["encoder_tokens"],
            memory_bytes=memory,
            device_memory_bytes=options["device_memory"],
            weights_bytes=weights,
        )
        sized = replace(case, request=replace(case.request, block_size=block_size))
        yield sized, given, _solved(question, sized, given)


def _solved(question: str, case: Case, given: Given) -> Solution:
    from kvprof.solve import least_memory, longest_context, most_sequences  # noqa: PLC0415

    tokens, sequences, memory = given.tokens or 0, given.sequences or 0, given.memory_bytes or 0
    match question:
        case "context":
            return longest_context(case, sequences, memory)
        case "sequences":
            return most_sequences(case, tokens, memory)
    return least_memory(case, tokens, sequences)


def _block_sizes(case: Case, options: dict[str, Any]) -> Iterator[tuple[Case, Given, Solution]]:
    from kvprof.answer import Given, SequencesOf  # noqa: PLC0415
    from kvprof.block_size import accepted_sizes, least_waste  # noqa: PLC0415

    batches: Sequence[Sequence[SequencesOf]] = [
        tuple(SequencesOf(*length) for length in lengths) for lengths in options["lengths"]
    ] or [
        (SequencesOf(sequences, tokens),)
        for tokens, sequences in product(
            flatten(options["tokens"]), flatten(options["sequences"]) or (1,)
        )
    ]
    for lengths in batches:
        longest = max(each.tokens for each in lengths)
        sizes = flatten(options["block_size"]) or accepted_sizes(case, longest)
        given = Given(
            lengths=tuple(lengths),
            encoder_tokens=options["encoder_tokens"],
            block_sizes=tuple(dict.fromkeys(sizes)),
        )
        yield case, given, least_waste(case, lengths, sizes)
