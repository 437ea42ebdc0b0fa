"""The loop that one writes in an hour: one connection to each address, its devices in turn, one message a device.

naive.py change|always BROKER_PORT UNITS REGISTERS PERIOD_MS PORT..."""
import asyncio
import json
import sys
import time

import paho.mqtt.client as mqtt
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

when = sys.argv[1]
broker, units, registers, period_ms = (int(text) for text in sys.argv[2:6])
ports = [int(text) for text in sys.argv[6:]]
period = period_ms / 1000


async def poll(number, port, publisher):
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=1)
    await client.connect()
    last = {}
    due = time.monotonic() + number / len(ports) * period
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        # After a slow round the next begins at once; rounds that were missed are not made up for.
        due = max(due + period, time.monotonic() - period)
        for unit in range(1, units + 1):
            try:
                answer = await client.read_holding_registers(0, count=registers, device_id=unit)
            except ModbusException:
                continue
            if answer.isError() or (when == "change" and last.get(unit) == answer.registers):
                continue
            last[unit] = answer.registers
            values = {f"r{at}": word for at, word in enumerate(answer.registers)}
            publisher.publish(f"naive/{number}/{unit}", json.dumps(values))


async def main():
    publisher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    publisher.connect("127.0.0.1", broker)
    publisher.loop_start()
    await asyncio.gather(*(poll(number, port, publisher) for number, port in enumerate(ports)))


asyncio.run(main())
