"""The queue before a model."""

import asyncio

import pytest

from speecht5_fairseq.web.refusals import Refused
from speecht5_fairseq.web.turns import Turns


def test_one_at_a_time_in_the_order_of_arrival():
    async def scenario() -> tuple[list[int], int]:
        turns, order, inside, most = Turns(8), [], 0, 0

        async def one(number: int) -> None:
            nonlocal inside, most
            async with turns.turn():
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.002 * (5 - number))  # the first takes longest
                inside -= 1
                order.append(number)

        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(one(number)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert turns.present == 0
        return order, most

    assert asyncio.run(scenario()) == ([0, 1, 2, 3, 4], 1)


def test_a_full_queue_refuses_and_an_error_leaves_it():
    async def scenario() -> None:
        turns = Turns(0)
        with pytest.raises(ZeroDivisionError):
            async with turns.turn():
                with pytest.raises(Refused, match="0 requests wait for this model already") as refused:
                    async with turns.turn():
                        pass
                assert refused.value.status == 503
                raise ZeroDivisionError
        async with turns.turn():
            assert turns.present == 1

    asyncio.run(scenario())
