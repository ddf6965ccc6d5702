"""
The verdicts on attempts that must not go on: each says why, and has the attempt's output.

A verdict is a ConfigMap of a deterministic name, which is created once: the first verdict counts. So all servers read
the same reason, also after a crash. It has the output because the Pods of a failed attempt are removed.
"""

from base64 import b64decode, b64encode
from uuid import UUID

import msgspec

from runner.mask import Mask
from runner.targets.contract import StepOutput, StepRequest
from runner.targets.kubernetes import label, workload
from runner.targets.kubernetes import record as records
from runner.targets.kubernetes.cluster import Cluster
from runner.targets.kubernetes.model import ConfigMap
from runner.targets.kubernetes.record import Record
from runner.targets.line import split_lines

KEPT = 512 * 1024
"""Size of the end of an attempt's output that is kept, in bytes."""

REASON, LOG, BEGIN, PREVIOUS = "reason", "output", "begin", "previous"
"""The fields of a verdict: *output* has the output in Base64, with secrets covered; *begin* is where that begins in the
whole output. *previous* is what ran before."""


def name(request: StepRequest) -> str:
    return f"verdict-{label.attempt(request)}"


async def record(
    cluster: Cluster,
    namespace: str,
    request: StepRequest,
    owner: UUID,
    reason: str,
    log: bytes = b"",
    previous: Record | None = None,
) -> ConfigMap:
    """Record that the attempt has failed, and return the first recorded verdict.

    *previous* is what ran before, and was stopped first.
    """
    mask = Mask(request.secrets)
    kept = log[-KEPT:]
    labels = label.of_attempt(request, owner) | {label.VERDICT: "yes"}
    data = {
        REASON: mask.text(" ".join(reason.split())),
        LOG: b64encode(mask.hide(kept, is_end=True).data).decode(),
        BEGIN: str(len(log) - len(kept)),
    }
    if previous is not None:
        data[PREVIOUS] = records.encode(previous)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name(request), "labels": labels}}
    await cluster.create(workload.CONFIG_MAPS.format(namespace), body | {"immutable": True, "data": data})
    found = await find(cluster, namespace, request)
    return found or ConfigMap(metadata=msgspec.convert({"name": name(request)}, type=ConfigMap).metadata, data=data)


async def find(cluster: Cluster, namespace: str, request: StepRequest) -> ConfigMap | None:
    return await cluster.find(f"{workload.CONFIG_MAPS.format(namespace)}/{name(request)}", ConfigMap)


def previous(verdict: ConfigMap) -> Record | None:
    """Return what ran before the failed attempt, if it was stopped first."""
    text = verdict.data.get(PREVIOUS)
    return None if text is None else msgspec.json.decode(text, type=Record)


async def show(verdict: ConfigMap, output: StepOutput, mask: Mask) -> None:
    """Write the rest of the output that *verdict* has."""
    position, begin = await output.offset(), int(verdict.data.get(BEGIN, 0))
    rest = b64decode(verdict.data.get(LOG, ""))[max(0, position - begin) :]
    lines, length = split_lines(rest, rest=True)
    if lines:
        await output.write([mask.shown(line) for line in lines], max(position, begin) + length)
