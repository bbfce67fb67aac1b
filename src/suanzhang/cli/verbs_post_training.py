"""The verb of post-training: flags in, a call of the Python API out."""

from __future__ import annotations

from typing import Annotated

import typer

from suanzhang.cli.faces import Call
from suanzhang.cli.verbs import Currency, Layout, Model, Price, Seed, Stack, alone, needed, positive


def post_train(
    model: Model = "",
    chips: Annotated[str, typer.Option("--chips", help="CHIP:N.")] = "",
    method: Annotated[str, typer.Option("--method", help="sft, dpo, grpo or ppo.")] = "grpo",
    adapters: Annotated[str, typer.Option("--adapters", help="lora or qlora; all parameters when left out.")] = "",
    lora_rank: Annotated[int, typer.Option("--lora-rank", min=1, help="Rank of the adapters.")] = 16,
    steps: Annotated[str, typer.Option("--steps", help="Rollout steps of grpo and ppo.")] = "100",
    prompts: Annotated[int, typer.Option("--prompts", min=1, help="Questions of one step.")] = 128,
    group: Annotated[int, typer.Option("--group", min=1, help="Answers to each question.")] = 16,
    prompt_tokens: Annotated[float, typer.Option("--prompt-tokens", help="Mean tokens of a question.")] = 256.0,
    response_tokens: Annotated[float, typer.Option("--response-tokens", help="Mean tokens of an answer.")] = 2048.0,
    response_max: Annotated[
        float, typer.Option("--response-max", help="Most tokens of an answer; twice the mean when left out.")
    ] = 0.0,
    train_batch: Annotated[int, typer.Option("--train-batch", min=0, help="Answers of one optimizer step; all of them.")] = 0,
    reference: Annotated[bool, typer.Option("--reference/--no-reference", help="Keep close to a reference model.")] = True,
    reward_model: Annotated[str, typer.Option("--reward-model", help="Model that scores answers; a rule when left out.")] = "",
    placement: Annotated[str, typer.Option("--placement", help="colocated or apart; the faster when left out.")] = "",
    rollout_chips: Annotated[int, typer.Option("--rollout-chips", min=0, help="Chips that only sample; searched.")] = 0,
    rollout_layout: Annotated[str, typer.Option("--rollout-layout", help="Of a sampling replica, as tp=4; searched.")] = "",
    layout: Layout = "",
    examples: Annotated[str, typer.Option("--examples", help="Conversations (sft) or pairs (dpo), such as 100K.")] = "",
    example_tokens: Annotated[float, typer.Option("--example-tokens", help="Mean tokens of an example.")] = 512.0,
    epochs: Annotated[float, typer.Option("--epochs", help="Passes over the examples.")] = 1.0,
    seq_len: Annotated[int, typer.Option("--seq-len", min=1, help="Tokens of a packed sequence.")] = 4096,
    packed: Annotated[bool, typer.Option("--packed/--padded", help="Examples share a sequence.")] = True,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Sequences of one optimizer step.")] = 128,
    precision: Annotated[str, typer.Option("--precision", help="Matrix arithmetic of the training.")] = "",
    stack: Stack = "",
    engine: Annotated[str, typer.Option("--engine", help="Generation of the sampling engine.")] = "",
    engine_memory: Annotated[
        float, typer.Option("--engine-memory", min=0.0, max=0.99, help="Memory share of the sampling engine; 0.6, apart 0.8.")
    ] = 0.0,
    in_flight: Annotated[
        int, typer.Option("--in-flight", min=0, help="Steps of answers under way while weights change; sides apart.")
    ] = 0,
    environment_s: Annotated[
        float, typer.Option("--environment-s", min=0.0, help="Seconds of an environment or scoring after a step's answers.")
    ] = 0.0,
    fit_confidence: Annotated[
        float | None,
        typer.Option("--fit-confidence", min=0.0, max=0.99, help="Share of cases in which a searched layout must fit; 0.9."),
    ] = None,
    price_per_chip_h: Price = "",
    currency: Currency = "USD",
    seed: Seed = 0,
) -> Call:
    """Plan tuning or reinforcement learning.

    Supervised (sft) and preference (dpo) tuning with all parameters or adapters, and grpo or ppo with sampling and training
    on one fleet, taking turns or side by side: step, days, chip-hours and money.
    """
    needed({"--model": model, "--chips": chips}, "post-train")
    usual = {
        "method": "grpo", "lora_rank": 16, "prompts": 128, "group": 16, "prompt_tokens": 256.0, "response_tokens": 2048.0,
        "response_max": 0.0, "train_batch": 0, "reference": True, "rollout_chips": 0, "example_tokens": 512.0, "epochs": 1.0,
        "seq_len": 4096, "packed": True, "batch": 128, "currency": "USD", "seed": 0, "engine_memory": 0.0, "in_flight": 0,
        "environment_s": 0.0,
    }  # fmt: skip
    given = {
        "method": method, "lora_rank": lora_rank, "prompts": prompts, "group": group, "prompt_tokens": prompt_tokens,
        "response_tokens": response_tokens, "response_max": response_max, "train_batch": train_batch,
        "reference": reference,
        "rollout_chips": rollout_chips, "example_tokens": example_tokens, "epochs": epochs, "seq_len": seq_len,
        "packed": packed, "batch": batch, "currency": currency, "seed": seed, "engine_memory": engine_memory,
        "in_flight": in_flight, "environment_s": environment_s,
    }  # fmt: skip
    named: dict[str, object] = {key: value for key, value in given.items() if value != usual[key]}
    named = {
        **named, "adapters": adapters, "steps": positive(steps, "count", "--steps"), "reward_model": reward_model,
        "placement": placement, "rollout_layout": rollout_layout, "layout": layout,
        "examples": positive(examples, "count", "--examples"), "precision": precision, "stack": stack, "engine": engine,
        "price_per_chip_h": positive(price_per_chip_h, "count", "--price-per-chip-h"),
    }  # fmt: skip
    if fit_confidence is not None:
        alone({"--layout": layout}, "post-train", "--fit-confidence")
        named["fit_confidence"] = fit_confidence
    return Call("post_train", (model, chips), named, "searching placements")
