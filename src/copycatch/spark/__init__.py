"""copycatch on Spark: inference tables in, alerts and recommendations out; needs the extra `spark`.

Takes: data frames, tables or streams of them, and a policy. Gives: data frames of alerts, recommendations,
rejects and counts. Never: a broker or a settings file.
"""

from copycatch.settings.service import Input
from copycatch.spark.run import Detection, detect

__all__ = ["Detection", "Input", "detect"]
