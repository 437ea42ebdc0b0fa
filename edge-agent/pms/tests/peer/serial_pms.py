"""A PMS at the other end of a serial line, written from the specification alone (FIAS 2.20, asynchronous transmission).

It spoils some of its own records, refuses some of ours, keeps back some of its answers and overhears some of ours, as bad
lines do, and prints as JSON what it received. Usage: serial_pms.py PORT
"""

import json
import os
import select
import sys
import time
import tty

STX, ETX, ENQ, ACK, NAK = 0x02, 0x03, 0x05, 0x06, 0x15

port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
tty.setraw(port)

pending = bytearray()
received = []
blocks = 0
last = NAK
enquiries = 0

# Of the blocks that come, by number: refused the first time; taken, but the ACK is kept back until somebody asks.
REFUSE = {2, 5}
KEEP_BACK = {4}


def lrc(data):
    value = 0
    for byte in data:
        value ^= byte
    return value


def read_byte(seconds):
    if not pending:
        ready, _, _ = select.select([port], [], [], seconds)
        if not ready:
            return None
        pending.extend(os.read(port, 1024))
    byte = pending[0]
    del pending[0]
    return byte


def answer(byte):
    global last
    last = byte
    os.write(port, bytes([byte]))


def take_block():
    """The rest of a block behind STX."""
    global blocks, last
    body = bytearray()
    while True:
        byte = read_byte(5)
        if byte is None:
            return
        if byte == ETX:
            break
        body.append(byte)
    check = read_byte(5)
    blocks += 1
    if check != lrc(body + bytes([ETX])) or blocks in REFUSE:
        answer(NAK)
        return
    received.append(body.decode())
    if blocks in KEEP_BACK:
        last = ACK
        return
    answer(ACK)


def listen(seconds, until=lambda: False, want=()):
    """Serves what comes; gives the first answer in `want`."""
    global enquiries
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not until():
        byte = read_byte(0.05)
        if byte is None:
            continue
        if byte == STX:
            take_block()
        elif byte == ENQ:
            enquiries += 1
            os.write(port, bytes([last]))
        elif byte in want:
            return byte
    return None


def send(body, spoil=False, deaf=False):
    data = body.encode()
    block = bytearray([STX]) + data + bytes([ETX, lrc(data + bytes([ETX]))])
    if spoil:
        bad = bytearray(block)
        bad[len(bad) // 2] ^= 0x04
        os.write(port, bad)
        assert listen(5, want=(ACK, NAK)) == NAK, "a spoilt record was taken"
    os.write(port, block)
    reply = listen(5, want=(ACK, NAK))
    if deaf:
        # The ACK is overheard: ask for it, and do not send again.
        os.write(port, bytes([ENQ]))
        reply = listen(5, want=(ACK, NAK))
    assert reply == ACK, f"{body}: {reply}"


def heard(prefix):
    return lambda: any(record.startswith(prefix) for record in received)


os.write(port, bytes([ENQ]))
assert listen(5, want=(ACK, NAK)) == NAK, "ENQ at the start is answered with NAK"
send("LS|DA260715|TI101500|")
listen(30, until=heard("LA|"))
send("LA|DA260715|TI101501|")
for n in range(40):
    send(f"GI|RN101|G#{n}|GNGuest {n}|GSN|", spoil=n % 7 == 3, deaf=n % 11 == 5)
print("played", flush=True)
listen(30, until=heard("PS|"))
charge = next(record for record in received if record.startswith("PS|"))
number = next(field[2:] for field in charge.split("|") if field.startswith("P#"))
send(f"PA|RN101|ASOK|P#{number}|DA260715|TI101600|")
listen(30, until=heard("LE|"))
send("LE|DA260715|TI101700|")
print(json.dumps({"received": received, "enquiries": enquiries, "blocks": blocks}), flush=True)
