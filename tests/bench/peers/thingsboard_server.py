"""Stands in for a ThingsBoard server on a plain broker: answers what its gateway asks before it publishes.

thingsboard_server.py BROKER_PORT"""
import json
import sys

import paho.mqtt.client as mqtt

ASKED = "v1/devices/me/rpc/request/"
ATTRIBUTES = "v1/devices/me/attributes/request/"
LIMITS = {"rateLimits": {}, "gatewayRateLimits": {}, "maxInflightMessages": 1000, "maxPayloadSize": 65536}


def subscribe(client, *_):
    client.subscribe([(ASKED + "+", 0), (ATTRIBUTES + "+", 0)])


def answer(client, _, message):
    number = message.topic.rsplit("/", 1)[-1]
    if message.topic.startswith(ATTRIBUTES):
        client.publish("v1/devices/me/attributes/response/" + number, "{}")
    elif json.loads(message.payload).get("method") == "getSessionLimits":
        client.publish("v1/devices/me/rpc/response/" + number, json.dumps(LIMITS))


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect = subscribe
client.on_message = answer
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
