"""Every trace format, one module each."""

from __future__ import annotations

from kvprof.workload.format import Format
from kvprof.workload.formats.azure import AZURE
from kvprof.workload.formats.bailian import BAILIAN
from kvprof.workload.formats.burstgpt import BURSTGPT
from kvprof.workload.formats.dynamo import DYNAMO
from kvprof.workload.formats.lengths import LENGTHS
from kvprof.workload.formats.llmservingsim import LLMSERVINGSIM
from kvprof.workload.formats.mooncake import MOONCAKE
from kvprof.workload.formats.plain import PLAIN
from kvprof.workload.formats.ragpulse import RAGPULSE
from kvprof.workload.formats.servegen import SERVEGEN
from kvprof.workload.formats.tracelab import TRACELAB
from kvprof.workload.formats.vidur import VIDUR
from kvprof.workload.formats.weka import WEKA

FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        PLAIN,
        MOONCAKE,
        AZURE,
        BURSTGPT,
        VIDUR,
        LENGTHS,
        RAGPULSE,
        WEKA,
        DYNAMO,
        TRACELAB,
        LLMSERVINGSIM,
        SERVEGEN,
        BAILIAN,
    )
}
