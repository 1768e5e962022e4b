"""Every loss against a value computed by hand."""

import math

import pytest
import torch

from traitswap import losses


def test_the_hinge_of_the_discriminator():
    # ReLU(1 − 2) = 0, ReLU(1 − 0.5) = 0.5; ReLU(1 − 3) = 0, ReLU(1 + 0.5) = 1.5
    value = losses.adversarial_discriminator(torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5]))
    assert value.item() == pytest.approx(0.25 + 0.75)


def test_the_generator_wants_high_scores():
    assert losses.adversarial_generator(torch.tensor([[1.0], [3.0]])).item() == -2.0


def test_the_gradient_penalty_takes_one_norm_an_image():
    gradient = torch.zeros(2, 3, 2, 2)
    gradient[0, 0, 0, :] = torch.tensor([3.0, 4.0])  # norm 5: (5 − 1)² = 16
    gradient[1, 2, 1, 1] = 1.0  # norm 1: 0
    assert losses.gradient_penalty(gradient).item() == pytest.approx(8.0)


def test_r1_is_half_the_mean_of_squared_norms():
    gradient = torch.zeros(2, 3, 2, 2)
    gradient[0, 0, 0, :] = torch.tensor([3.0, 4.0])  # norm 5: 25
    gradient[1, 2, 1, 1] = 1.0
    assert losses.r1(gradient).item() == pytest.approx((25 + 1) / 4)


def test_classification_sums_columns_and_averages_images():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    labels = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    each = [math.log(2), math.log(2), math.log(2), math.log(4 / 3)]
    assert losses.classification(logits, labels).item() == pytest.approx(sum(each) / 2)
    weights = torch.tensor([[6.0, 0.0], [1.0, 1.0]])
    weighted = [6 * each[0], 0, each[2], each[3]]
    assert losses.classification(logits, labels, weights).item() == pytest.approx(sum(weighted) / 2)


def test_the_cycle_adds_up_both_images_of_a_pair():
    x, x_rec = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    x_rec[0] = 0.5
    x_rec[1] = -0.25
    assert losses.cycle_consistency(x, x_rec).item() == pytest.approx(0.75)


def test_verification_is_the_sum_over_four_pairs():
    # One pair of images, two attributes: −log 1/2 = log 2 in each of the four V.
    zeros = torch.zeros(2, 2)
    assert losses.verification(zeros, zeros).item() == pytest.approx(4 * math.log(2))
    # V(a, â) = V(b, b̂) = (log 4/3 + log 2)/2 with logits (log 3, 0); the rest as above.
    same = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    assert losses.verification(same, zeros).item() == pytest.approx(math.log(4 / 3) + math.log(2) + 2 * math.log(2))


def test_verification_is_small_only_when_same_and_other_are_told_apart():
    right, wrong = torch.full((4, 2), 9.0), torch.full((4, 2), -9.0)
    assert losses.verification(right, wrong).item() < 0.01
    assert losses.verification(wrong, right).item() > 30


def test_self_reconstruction_looks_at_untouched_images_only():
    x, x_fake = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    x_fake[0] = 0.25
    assert losses.self_reconstruction(losses.distances(x, x_fake), torch.tensor([True, False])).item() == pytest.approx(
        0.5
    )
    assert losses.self_reconstruction(losses.distances(x, x_fake), torch.tensor([False, False])).item() == 0.0


def test_the_wasserstein_critic_parts_real_from_fake():
    # −(2 + 0)/2 + (−3 + 1)/2
    value = losses.wasserstein_discriminator(torch.tensor([2.0, 0.0]), torch.tensor([-3.0, 1.0]))
    assert value.item() == pytest.approx(-2.0)


def test_reconstruction_is_the_mean_over_pixels():
    x = torch.zeros(2, 3, 4, 4)
    x_rec = x.clone()
    x_rec[0] = -0.5
    assert losses.reconstruction(x, x_rec).item() == pytest.approx(0.25)
