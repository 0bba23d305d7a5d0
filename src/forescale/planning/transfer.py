# SPDX-License-Identifier: Apache-2.0
"""Which settings does a wider model take over from a tuned proxy, tensor by tensor?

Learning rates, initialisation and multipliers follow muP for Adam (Yang et al. 2022); weight decay of matrices grows
with the power of width at which the top singular value stands still (Fan et al. 2025: the root), from the published
powers or from a fit of top-singular-value to proxies of one's own. Depth, tokens and batch are not part of either
rule: what changes with them is listed, not hidden.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from forescale.core.errors import QueryError, message
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_short
from forescale.fitting._fit import Finding
from forescale.laws.transfer import MUP, Scaling, decay_power, decay_steps
from forescale.planning._compose import composed, refused
from forescale.planning._curves import banded
from forescale.planning._intervals import decided, of_estimate
from forescale.planning._plan import Decided, Grounds, Part, Plan, Planner, Table
from forescale.planning._quantities import TokensText
from forescale.planning._widths import Model, Tensor, horizon, nearest, settings, shapes, to_check

Array = NDArray[np.float64]

SETTLED = 3.0
"""Forgetting times of AdamW that a run must be longer than before its spectra stand at their steady state."""


STEEPEST = 3.0
"""Power of width in the decay beyond which a fit of the spectrum is not believed; published is 0.5."""


class TransferQuery(BaseModel):
    """A proxy with its tuned settings, and the target. What is not given of the target is as in the proxy."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    proxy_width: int = Field(ge=1, description="width of the tuned proxy, e.g. 256")
    width: int = Field(ge=1, description="width of the target, e.g. 1024")
    lr: float = Field(gt=0, allow_inf_nan=False, description="peak learning rate of the proxy's matrices, e.g. 4e-3")
    weight_decay: float = Field(
        0.1, ge=0, allow_inf_nan=False, description="weight decay of the proxy's matrices, e.g. 0.1"
    )
    lr_vector: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="peak learning rate of the proxy's norms and biases (default: lr), e.g. 4e-3",
    )
    lr_embedding: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="peak learning rate of the proxy's embedding (default: lr), e.g. 4e-3",
    )
    lr_head: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="peak learning rate of the proxy's head (default: lr)"
    )
    std_matrix: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="initial standard deviation of the proxy's matrices (default: fan-in^-1/2), e.g. 0.06",
    )
    std_embedding: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="that of the proxy's embedding (default: proxy_width^-1/2), e.g. 0.06",
    )
    std_head: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="that of the proxy's head (default: proxy_width^-1/2)"
    )
    head: Literal["multiplier", "rate"] = Field(
        "multiplier", description="what of the head shrinks with width: its output ('multiplier') or its 'rate'"
    )
    tied: bool = Field(False, description="the head shares the embedding: then its output must be what shrinks")
    decay: Literal["times-rate", "independent"] = Field(
        "times-rate", description="decay is multiplied by the learning rate ('times-rate', as in PyTorch) or not"
    )
    slope: float = Field(
        0.0,
        ge=-0.5,
        le=0.5,
        description="measured slope of log top singular value in log width under the rule, to correct it, e.g. 0.05",
    )
    proxy_heads: int | None = Field(None, ge=1, description="attention heads of the proxy (default: width / 64)")
    heads: int | None = Field(None, ge=1, description="attention heads of the target (default: same head size)")
    proxy_depth: int | None = Field(None, ge=1, description="blocks of the proxy, e.g. 12")
    depth: int | None = Field(None, ge=1, description="blocks of the target, e.g. 12")
    proxy_d_ff: int | None = Field(None, ge=1, description="feed-forward width of the proxy (default: 4 x width)")
    d_ff: int | None = Field(None, ge=1, description="feed-forward width of the target (default: in proportion)")
    vocab: int = Field(50_304, ge=1, description="entries of the vocabulary, to count parameters, e.g. 50304")
    proxy_tokens: TokensText | None = Field(None, description="tokens of the proxy's run, e.g. 5B")
    tokens: TokensText | None = Field(None, description="tokens of the target's run, e.g. 100B")
    proxy_batch: TokensText | None = Field(None, description="batch of the proxy, in tokens, e.g. 500K")
    batch: TokensText | None = Field(None, description="batch of the target, in tokens, e.g. 2M")


@np.errstate(all="ignore")  # wild draws overflow; what is not finite is counted and said
def answer(grounds: Grounds, query: TransferQuery) -> Plan:
    """The table of settings.

    Raises:
        QueryError: a tied head with settings of its own; heads that do not divide the width; batches above tokens.
        RefusedError: proxies that do not say how the top singular value moves with width; a decay of all in one step.
    """
    _check(query)
    proxy, target = _models(query)
    m = target.width / proxy.width
    b, c, w = (grounds.param("spectrum", name) for name in ("b", "c", "w"))
    power = decay_power(b, c, w) + query.slope / c
    wide = power if query.decay == "times-rate" else power - 1.0
    decay = query.weight_decay * m**wide
    lr = query.lr / m
    product = decay * (lr if query.decay == "times-rate" else 1.0)
    _possible(of_estimate(wide), of_estimate(product))
    level = grounds.level
    tensors = _tensors(query, proxy, target)
    decision: dict[str, Decided] = {
        "lr_matrix": Decided(tensors["matrix"].rate, None, None, "", f"learning rate: {tensors['matrix'].what}"),
        "wd_matrix": decided(decay, "", level, "weight decay: matrices"),
        "multiplier_head": Decided(
            tensors["head"].multiplier, None, None, "", "factor on the logits, next to the proxy's"
        ),
        "lr_vector": Decided(tensors["vector"].rate, None, None, "", f"learning rate: {tensors['vector'].what}"),
    }
    for name, tensor in tensors.items():
        if not (name == "head" and query.tied):
            decision[f"lr_{name}"] = Decided(tensor.rate, None, None, "", f"learning rate: {tensor.what}")
        if math.isfinite(tensor.std):
            decision[f"std_{name}"] = Decided(
                tensor.std, None, None, "", f"initial standard deviation: {tensor.what}"
            )
    decision["wd_vector"] = Decided(0.0, None, None, "", "weight decay: norms, biases, embedding, head")
    scale = math.sqrt(proxy.d_head) / target.d_head
    decision["attention_scale"] = Decided(scale, None, None, "", "factor on the attention scores q.k")
    decision["decay_power"] = decided(wide, "", level, "x, where weight decay grows as width^x")
    if query.weight_decay > 0:
        decision["forgetting_steps"] = decided(decay_steps(product, 1.0), "count", level, "steps AdamW remembers")
    if target.depth != proxy.depth:
        branch = math.sqrt(proxy.depth / target.depth)
        decision["multiplier_branch"] = Decided(branch, None, None, "", "factor on each residual branch")
    decision["params"] = Decided(
        float(target.params(query.vocab, query.tied)), None, None, "parameters", "parameters without embeddings"
    )
    warnings = [*_beyond(proxy, target), *_settled(query, proxy, target, lr, of_estimate(product))]
    return composed(
        grounds,
        planner,
        query,
        headline=(
            f"From width {proxy.width:,} to {target.width:,} ({m:.3g}x): matrices get a learning rate of {lr:.3g} "
            f"and a weight decay of {of_estimate(decay):.3g}; norms, biases and the embedding keep theirs, without "
            f"decay; {'the logits are' if query.head == 'multiplier' else 'the rate of the head is'} multiplied by "
            f"{1 / m:.3g}."
        ),
        decision=decision,
        binding="width: what would change with it stands still",
        tables=[
            settings(tensors, of_estimate(decay)),
            _wrong(query, proxy, target, *(of_estimate(v) for v in (b, c, w, wide))),
            shapes(proxy, target, query.vocab, query.tied),
            *horizon(proxy, target),
            to_check(),
        ],
        curves=_curve(query, proxy.width, target.width, wide, level),
        warnings=warnings,
        assumptions=[
            "Adam or AdamW with one schedule; matrices are tensors with two sides that grow with width.",
            "Weight decay is multiplied by the learning rate (PyTorch's AdamW)."
            if query.decay == "times-rate"
            else "Weight decay is not multiplied by the learning rate: the product of the other convention is kept.",
            "muP as commonly quoted, its table not checked against the paper itself; multipliers are relative to the "
            "proxy, which keeps its own.",
        ],
        answered=np.isfinite(decay),
    )


# ------------------------------------------------------------------------------------------------------- the models


def _check(query: TransferQuery) -> None:
    if query.tied and query.head == "rate":
        raise QueryError(
            message(
                "tied = True and head = 'rate': the shared tensor would need two learning rates",
                "head='multiplier' for a tied head",
                "leave head out",
            )
        )
    for name in ("lr_head", "std_head"):
        if query.tied and getattr(query, name) is not None:
            other = name.replace("head", "embedding")
            raise QueryError(
                message(
                    f"tied = True and {name}: the shared tensor has the settings of the embedding",
                    f"{other}, for both",
                    f"{other}={getattr(query, name):g}, without {name}",
                )
            )
    for batch, tokens in (("proxy_batch", "proxy_tokens"), ("batch", "tokens")):
        one, all_ = getattr(query, batch), getattr(query, tokens)
        if one is not None and all_ is not None and one > all_:
            raise QueryError(
                message(
                    f"{batch} = {format_short(one)} and {tokens} = {format_short(all_)}",
                    "a batch of at most the tokens",
                    f"lower {batch} or raise {tokens}",
                )
            )


def _possible(power: float, product: float) -> None:
    if not abs(power) <= STEEPEST:
        raise refused(
            f"weight decay that grows as width^{power:.3g}: the proxies do not say how the top singular value moves "
            "with rate, decay and width",
            f"a power between {-STEEPEST:g} and {STEEPEST:g} (published: 0.5)",
            "proxies whose rates, decays and widths vary apart, or no fit: the published powers",
        )
    if not product < 1.0:
        raise refused(
            f"rate x decay = {product:.3g} at the target: every step would take away all of a matrix",
            "less than 1, usually about 1e-4",
            "a lower lr or weight_decay, or another convention (decay)",
        )


def _models(query: TransferQuery) -> tuple[Model, Model]:
    proxy_heads = query.proxy_heads or max(query.proxy_width // 64, 1)
    if query.proxy_width % proxy_heads:
        raise QueryError(
            message(
                f"proxy_width = {query.proxy_width} is no multiple of proxy_heads = {proxy_heads}",
                "heads that divide the width",
                f"proxy_heads={nearest(query.proxy_width, proxy_heads)}",
            )
        )
    d_head = query.proxy_width // proxy_heads
    heads = query.heads or max(query.width // d_head, 1)
    if query.width % heads:
        whole = d_head if query.heads is None else heads
        raise QueryError(
            message(
                f"width = {query.width} is no multiple of heads = {heads}",
                "heads that divide the width",
                f"heads={nearest(query.width, heads)}, or width={whole * max(round(query.width / whole), 1)}",
            )
        )
    depth = query.proxy_depth or query.depth or 12
    proxy_ff = query.proxy_d_ff or 4 * query.proxy_width
    d_ff = query.d_ff or round(proxy_ff * query.width / query.proxy_width)
    proxy = Model(query.proxy_width, depth, proxy_heads, proxy_ff, query.proxy_tokens, query.proxy_batch)
    target = Model(
        query.width, query.depth or depth, heads, d_ff,
        query.tokens or query.proxy_tokens, query.batch or query.proxy_batch,
    )  # fmt: skip
    return proxy, target


def _tensors(query: TransferQuery, proxy: Model, target: Model) -> dict[str, Tensor]:
    """Kind -> its settings."""
    m, ff = target.width / proxy.width, target.d_ff / proxy.d_ff
    attended = target.heads * target.d_head / (proxy.heads * proxy.d_head)
    root = proxy.width**-0.5
    std = query.std_matrix or root
    std_ff = query.std_matrix or proxy.d_ff**-0.5
    head = MUP["head with multiplier" if query.head == "multiplier" else "head"]

    def line(what: str, kind: Scaling, ratio: float, rate: float, first: float) -> Tensor:
        return Tensor(
            what,
            rate * ratio**kind.rate,
            first * ratio ** (0.5 * kind.variance),
            ratio**kind.multiplier,
            kind.decays,
        )

    embedding_std = root if query.std_embedding is None else query.std_embedding
    head_std = root if query.std_head is None else query.std_head
    return {
        "embedding": line("embedding", MUP["embedding"], m, query.lr_embedding or query.lr, embedding_std),
        "matrix": line("matrices that read the width (q, k, v, up)", MUP["matrix"], m, query.lr, std),
        "out": line("attention output", MUP["matrix"], attended, query.lr, std),
        "down": line("matrix that reads the feed-forward width", MUP["matrix"], ff, query.lr, std_ff),
        "vector": line(
            "norms and biases (gains start at 1, biases at 0)",
            MUP["vector"],
            m,
            query.lr_vector or query.lr,
            math.nan,
        ),
        "head": line("head (tied: the tensor of the embedding)", head, m, query.lr_embedding or query.lr, math.nan)
        if query.tied
        else line("head", head, m, query.lr_head or query.lr, head_std),
    }


# ------------------------------------------------------------------------------------------------------- the tables


def _wrong(query: TransferQuery, proxy: Model, target: Model, b: float, c: float, w: float, chosen: float) -> Table:
    """How far the top singular value drifts under other rules of the decay, and what AdamW then remembers."""
    m = target.width / proxy.width
    shift = 0.0 if query.decay == "times-rate" else -1.0
    rules: list[tuple[str, float]] = [
        ("the plan", query.weight_decay * m**chosen),
        ("constant", query.weight_decay),
        ("root of width", query.weight_decay * m ** (0.5 + shift)),
        ("width: rate times decay constant", query.weight_decay * m ** (1.0 + shift)),
    ]
    if proxy.steps is not None and target.steps is not None:
        share = query.weight_decay * m ** (1.0 + shift) * proxy.steps / target.steps
        rules.append(("rate times decay times steps constant", share))
    columns = [
        ("rule", ""),
        ("weight decay", ""),
        ("top singular value / proxy", "x"),
        ("steps AdamW remembers", "count"),
    ]
    if target.steps is not None:
        columns.append(("remembered / run", ""))
    lines: list[tuple[float | str | None, ...]] = []
    for what, decay in rules:
        # What counts is rate times decay; sigma is (rate / decay)-like in decay that is multiplied by the rate.
        ratio = decay / query.weight_decay * m**-shift if query.weight_decay > 0 else math.nan
        product = decay * (query.lr / m if query.decay == "times-rate" else 1.0)
        remembered = 1.0 / product if product > 0 else math.inf
        line: list[float | str | None] = [what, decay, m ** (w - b + query.slope) * ratio**-c, remembered]
        if target.steps is not None:
            line.append(remembered / target.steps)
        lines.append(tuple(line))
    return Table(
        "sensitivity",
        "What another weight decay does",
        tuple(columns),
        tuple(lines),
        "A ratio of 1 keeps the gain of every layer, once the run is much longer than what AdamW remembers.",
    )


def _curve(query: TransferQuery, proxy: int, width: int, power: Array, level: float) -> dict[str, Frozen[str, Array]]:
    low, high = min(proxy, width), max(proxy, width)
    widths = np.geomspace(low, 4.0 * high, 33)
    decay = query.weight_decay * (widths / proxy) ** power[:, None]
    return {
        "weight decay": banded({"width": widths}, "weight decay of matrices", decay, level),
        "learning rate": Frozen({"width": widths, "rate": query.lr * proxy / widths}),
    }


# ------------------------------------------------------------------------------------------------ what must be said


def _beyond(proxy: Model, target: Model) -> list[Finding]:
    found = []
    ratio = target.width / proxy.width
    if not 1 / 16 <= ratio <= 16:
        found.append(
            Finding(
                "far-proxy",
                "amber",
                f"The target is {ratio:.3g} times as wide as the proxy.",
                "A proxy of a few hundred, and one in between, show whether the best rate stays.",
            )
        )
    if proxy.width < 128:
        found.append(
            Finding(
                "small-proxy",
                "amber",
                f"A width of {proxy.width} is small: the rules are limits of large widths.",
                "Tune at a width of 256 or more.",
            )
        )
    if target.depth != proxy.depth:
        found.append(
            Finding(
                "depth",
                "amber",
                f"Depth changes from {proxy.depth} to {target.depth}, and neither rule covers it. The factor on the "
                "branches keeps the size of the residual stream at the start, no more.",
                "Tune the proxy at the depth of the target.",
            )
        )
    changed = [
        f"{name} from {format_short(a)} to {format_short(b)}"
        for name, a, b in (("tokens", proxy.tokens, target.tokens), ("batch", proxy.batch, target.batch))
        if a and b and a != b
    ]
    if changed:
        found.append(
            Finding(
                "horizon",
                "amber",
                f"The run changes too ({'; '.join(changed)}): best rates move with it, and muP does not say how.",
                "See the table of factors, or plan the learning rate by sweeps (question learning-rate).",
            )
        )
    return found


def _settled(query: TransferQuery, proxy: Model, target: Model, lr: float, product: float) -> list[Finding]:
    """Whether the runs are long enough for a steady state, and how its time grows."""
    if query.weight_decay == 0:
        return [
            Finding(
                "no-decay",
                "amber",
                "Without weight decay there is no steady state: norms of matrices grow through the run.",
                "Learning rates and multipliers hold; the rule of the decay has nothing to scale.",
            )
        ]
    found = []
    before = query.weight_decay * (query.lr if query.decay == "times-rate" else 1.0)
    for name, one, rate in (("proxy", proxy, before), ("target", target, product)):
        if one.steps is not None and one.steps * rate < SETTLED:
            found.append(
                Finding(
                    f"not-settled-{name}",
                    "amber",
                    f"The {name} takes {one.steps:,.0f} steps, {one.steps * rate:.2g} times the {1 / rate:,.0f} that "
                    "AdamW remembers: its matrices do not reach the steady state of the rule for the decay.",
                    "A longer run, or more decay; else keep rate x decay x steps instead (table sensitivity).",
                )
            )
    return found


planner = Planner(
    id="transfer",
    question="Which settings does a wider model take over from a tuned proxy?",
    query=TransferQuery,
    answer=answer,
    parts=(
        Part(
            "spectrum",
            "the powers of rate, decay and width in the top singular value of trained matrices",
            laws=("top-singular-value",),
            default="top-singular-value:fan2025",
        ),
    ),
    papers=("yang2022", "fan2025"),
    example=Frozen({"proxy_width": 256, "width": 1024, "lr": 4e-3, "weight_decay": 0.1}),
)
