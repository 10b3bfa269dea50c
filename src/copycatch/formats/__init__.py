"""Log formats, one file each; what they share lies in `shared/`.

Takes: a `RawBatch` of messages as gateways write them. Gives: canonical `InferenceRecord`s and `Rejected`s.
Never: raises for any bytes, reads a file or a clock, or lets a bad message harm its neighbours.

A new format is one new file here; `catalog.py` finds it. It declares where each field comes from, how it is
recognised, and a reader of one message::

    NAME = "acme"
    SOURCES = {"event_id": "rid", "event_time": "at", "account_id": "who", "model_id": "model", "input": "q"}

    def read(message: LogMessage) -> list[Reading]:
        log = message.document
        return [{
            "event_id": name_of(log.get("rid")),
            "event_time": message.time_ms(log.get("at")),
            "account_id": message.account(log, log.get("who")),
            "model_id": message.model(log.get("model")),
            "input": text_of(log.get("q")),
        }]

    def make_decoder(options: FormatOptions, recognise: Recognise) -> DocumentDecoder:
        return DocumentDecoder(NAME, read, SOURCES, options, recognise)

    FORMAT = Format(NAME, "logs of the Acme gateway", SOURCES, make_decoder, marks=(("rid", "who", "q"),))

`tests/unit/formats/test_catalog.py` adds this very format.
"""
