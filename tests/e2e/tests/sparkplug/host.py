"""A Sparkplug host application made of the package pysparkplug, driven by lines of JSON.

    host.py host PORT GROUP HOST_ID     commands on stdin, what the host sees on stdout
    host.py decode                      payloads as hex on stdin, what the published schema makes of them on stdout
"""

import json
import sys
import threading
import time

import pysparkplug as psp
from google.protobuf import json_format
from pysparkplug import _protobuf as schema

lock = threading.Lock()


def say(line):
    with lock:
        print(json.dumps(line), flush=True)


def metric(it):
    return {"name": it.name, "value": it.value, "type": it.datatype.name, "null": it.is_null}


def seen(_client, message):
    topic, payload = message.topic, message.payload
    metrics = getattr(payload, "metrics", None) or [getattr(payload, "bd_seq_metric", None)]
    say({
        "kind": str(topic.message_type.value),
        "device": topic.device_id,
        "seq": getattr(payload, "seq", None),
        "metrics": [metric(it) for it in metrics if it is not None],
    })


def host(port, group, host_id):
    state = psp.Topic(message_type=psp.MessageType.STATE, sparkplug_host_id=host_id)
    qos = psp.QoS

    def said(online, timestamp):
        payload = psp.State(timestamp=timestamp, online=online)
        return psp.Message(topic=state, payload=payload, qos=qos.AT_LEAST_ONCE, retain=True)

    client = psp.Client(client_id=host_id)
    client.set_will(said(False, int(time.time() * 1000)))
    for kind in ("NBIRTH", "NDATA", "NDEATH"):
        topic = psp.Topic(group_id=group, message_type=psp.MessageType(kind), edge_node_id="+")
        client.subscribe(topic, qos.AT_LEAST_ONCE, seen)
    for kind in ("DBIRTH", "DDATA", "DDEATH"):
        topic = psp.Topic(group_id=group, message_type=psp.MessageType(kind), edge_node_id="+", device_id="+")
        client.subscribe(topic, qos.AT_LEAST_ONCE, seen)
    client.connect("127.0.0.1", port=port, callback=lambda _client: say({"kind": "connected"}))
    for line in sys.stdin:
        ask = json.loads(line)
        if ask["do"] == "state":
            client.publish(said(ask["online"], ask["timestamp"]))
            continue
        now = int(time.time() * 1000)
        wanted = psp.Metric(
            timestamp=now,
            name=ask.get("name"),
            alias=ask.get("alias"),
            datatype=psp.DataType[ask["type"]],
            value=ask["value"],
        )
        device = ask.get("device")
        kind, payload = (psp.MessageType.DCMD, psp.DCmd) if device else (psp.MessageType.NCMD, psp.NCmd)
        topic = psp.Topic(group_id=group, message_type=kind, edge_node_id=ask["node"], device_id=device)
        payload = payload(timestamp=now, metrics=(wanted,))
        message = psp.Message(topic=topic, payload=payload, qos=qos.AT_MOST_ONCE, retain=False)
        client.publish(message, include_dtypes=ask.get("typed", False))


def decode():
    for line in sys.stdin:
        raw = bytes.fromhex(line.strip())
        payload = schema.Payload.FromString(raw)
        told = json_format.MessageToDict(payload, preserving_proto_field_name=True)
        # What the schema does not know goes, and what is left must be all there was.
        payload.DiscardUnknownFields()
        say({"payload": told, "whole": payload.SerializeToString(deterministic=True) == raw})


if sys.argv[1] == "host":
    host(int(sys.argv[2]), sys.argv[3], sys.argv[4])
else:
    decode()
