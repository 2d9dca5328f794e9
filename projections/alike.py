"""Groups the transitions of a batch that count alike, so that counting is done a few hundred times a batch and not for every event."""

from collections.abc import Iterable

from projections.transitions import Transition

Likeness = tuple[object, ...]
"""All that the transitions of a group have in common, so what follows from it need be worked out once."""


def alike(transitions: Iterable[Transition]) -> dict[Likeness, list[Transition]]:
    """The transitions in groups, each in the order given. Those of a group differ in nothing but the message, the position, the times
    and ``error_code_after``; and whether a time is known is the same for all of them.
    """
    groups: dict[Likeness, list[Transition]] = {}
    for each in transitions:
        # Runs for every event of the log: a tuple written out costs half of what a function that makes it would.
        key = (
            each.status,
            each.effect,
            each.status_before,
            each.status_after,
            each.reached,
            each.new_error_code,
            each.error_code,
            each.channel,
            each.country,
            each.messaging_service_sid,
            each.sent_at is None,
            each.delivered_at is None,
        )
        try:
            groups[key].append(each)
        except KeyError:
            groups[key] = [each]
    return groups
