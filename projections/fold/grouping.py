"""Groups the transitions of a batch that count alike, so that counting is done a few hundred times a batch and not for every event."""

from projections.fold.transitions import Batch, Likeness, Transition


def alike(batch: Batch) -> dict[Likeness, list[Transition]]:
    """The batch's transitions in groups, each in the order given. Those of a group differ in nothing but the message, the position and
    the times; and whether a time is known is the same for all of them. Worked out once a batch.
    """
    if batch.groups is None:
        batch.groups = _group(batch)
    return batch.groups


def _group(batch: Batch) -> dict[Likeness, list[Transition]]:
    groups: dict[Likeness, list[Transition]] = {}
    for each in batch.transitions:
        # Runs for every event of the log: a tuple written out costs half of what a function that makes it would.
        key = (
            each.kind,
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
