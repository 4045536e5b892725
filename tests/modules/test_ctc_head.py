"""The CTC head."""

import torch

from speecht5_fairseq.modules.ctc_head import CTCHead


def test_it_is_a_linear_layer_after_dropout():
    head, states = CTCHead(dim=4, vocabulary=6, dropout=0.5), torch.randn(2, 3, 4)
    assert not torch.equal(head(states), head(states))
    head.eval()
    torch.testing.assert_close(head(states), states @ head.projection.weight.T + head.projection.bias)
