"""Regions of torch graphs as stitched kernels: what they write, and what they leave to torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.fusion.gpu.triton_runs import interpret
from workbench.fusion.gpu.writing import overlaps


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return interpret("tests.fusion.gpu.region_cases")


def test_what_an_optimizer_updates_is_written_over_at_once(found: dict[str, Any]) -> None:
    case = found["an_optimizer_writes_its_state"]
    assert case["error"] <= 1e-6
    assert case["direct"] == 2


def test_what_is_read_at_other_places_is_copied_in_the_end(found: dict[str, Any]) -> None:
    case = found["what_is_read_elsewhere_is_copied"]
    assert case["error"] <= 1e-5
    assert case["direct"] == 0


def test_inputs_that_share_memory_are_not_written_over_at_once(found: dict[str, Any]) -> None:
    assert found["inputs_that_share_memory"] == {"direct": 1, "apart": 0.0, "overlapping": 0.0}


def test_tensors_overlap_where_the_memory_between_their_ends_does() -> None:
    base = torch.zeros(100)
    some = [base[:10], base[10:20], base[15:30:5], base[40:], torch.zeros(3), base[99:]]
    assert overlaps(some, range(6)) == {1, 2, 3, 5}
    assert overlaps(some, {0, 2, 4}) == {2}
    assert overlaps([], ()) == set()


@pytest.mark.parametrize("name", ["norm", "several"])
def test_lengths_that_change_share_one_region_and_one_kernel(found: dict[str, Any], name: str) -> None:
    case = found["lengths_that_change"][name]
    assert case["error"] <= 1e-5
    assert case["regions"] == 1
    assert case["forms"] == [5]
    assert case["kernels"] == 1


def test_tensors_without_elements_are_left_to_torch(found: dict[str, Any]) -> None:
    case = found["tensors_without_elements"]
    assert case["error"] == 0
    assert case["empty"] == [0.0, 0.0, 0.0]
    assert case["listed"] == ["unsupported operation"]


def test_views_that_are_not_contiguous_or_overlap_are_read_where_they_are(found: dict[str, Any]) -> None:
    assert max(found["views_that_are_not_contiguous_or_overlap"]) <= 1e-5


def test_not_a_number_and_infinity_are_what_torch_makes_of_them(found: dict[str, Any]) -> None:
    assert found["not_a_number_and_infinity"]["error"] <= 1e-6
    assert found["not_a_number_and_infinity"]["regions"] == 1


def test_memory_beyond_what_32_bits_reach_is_addressed_with_64(found: dict[str, Any]) -> None:
    assert found["memory_beyond_what_32_bits_reach"] == {"error": 0.0, "long": True}


def test_torch_computes_what_there_is_no_memory_for_and_it_is_listed(found: dict[str, Any]) -> None:
    case = found["memory_that_is_not_there"]
    assert case["reasons"] == ["out of memory"]
    assert case["error"] == 0
    assert case["again"] <= 1e-6


def test_the_plan_of_a_region_is_told(found: dict[str, Any]) -> None:
    case = found["a_plan_is_told"]
    assert case["launches"] == 1
    assert case["kernels_before"] >= 5
    assert "max → sum → add" in case["text"]
