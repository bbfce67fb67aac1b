"""A recorded trace beyond what its replicas carry is answered with the growing queue, and with the target that it misses."""

from pathlib import Path

from suanzhang.app.serve_verb import serve


def _trace(folder: Path, at_once: int) -> str:
    """A quiet quarter of an hour of which each minute holds as many requests, all in its first instant."""
    rows = [f"{60 * minute + 1e-3 * index},6000,40" for minute in range(15) for index in range(at_once)]
    path = folder / "bursts.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    return str(path)


def test_bursts_are_given_the_replicas_that_they_need(tmp_path: Path) -> None:
    few = serve("llama-3.1-8b", "h100-sxm-80", trace=_trace(tmp_path, 60), layout="tp=1")
    found = serve("llama-3.1-8b", "h100-sxm-80", trace=_trace(tmp_path, 60), layout="tp=1", ttft_p99_s=1.0)
    assert few.ttft_s.p99 > 1.0 > found.ttft_s.p99
    assert found.replicas > few.replicas
    assert any("recorded bursts" in warning for warning in found.warnings)


def test_a_target_that_the_replay_misses_is_named(tmp_path: Path) -> None:
    found = serve("llama-3.1-8b", "h100-sxm-80", trace=_trace(tmp_path, 2000), layout="tp=1", ttft_p99_s=0.6)
    assert found.ttft_s.p99 > 0.6
    assert any("misses ttft_p99_s" in warning for warning in found.warnings)


def test_one_that_it_meets_is_not(tmp_path: Path) -> None:
    found = serve("llama-3.1-8b", "h100-sxm-80", trace=_trace(tmp_path, 1), layout="tp=1", ttft_p99_s=5.0)
    assert found.ttft_s.p99 < 5.0
    assert not any("misses" in warning or "overloaded" in warning for warning in found.warnings)
