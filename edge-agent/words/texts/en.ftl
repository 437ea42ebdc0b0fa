### What people read. Guests: polite and short. Staff: what is so, and what to do.

## Guests

welcome = Welcome to { $hotel }.
goodbye = Thank you for staying with us. Have a safe journey.
wake-up-call = Good morning. This is your wake-up call: it is { $time }.
wake-up-set = We will wake you on { $date } at { $time }.
wake-up-cleared = Your wake-up call at { $time } has been cancelled.
guest-error-later = This can't be done at the moment. Please try again in a few minutes, or call reception.
guest-error-refused = We are sorry, this can't be done from the room. Please call reception.
guest-error-time = This time has passed. Please choose another one.
guest-message = A message is waiting for you. Please call reception.

## Alerts: what it is called, what has happened, what to do

alert-posting_doubtful = Posting in doubt
alert-posting_doubtful-text = The PMS did not confirm charge { $source }.
alert-posting_doubtful-do = Look on the guest's bill whether the charge is there. Do not post it again before.
alert-leak = Leak
alert-leak-text = Water on the floor: { $source }.
alert-leak-do = Go there now, close the water, and warn the room below.
alert-write_failed = Set point not taken
alert-write_failed-text = { $source } did not take what it was set to.
alert-write_failed-do = Look whether the device has power and shows a fault; else call the technician.
alert-wake_up = Wake-up call
alert-wake_up-text = The guest must be woken by hand: { $source }.
alert-wake_up-do = Call the guest. If nobody answers, go to the room and knock.
alert-smoke = Smoke
alert-smoke-text = A smoke detector sounds: { $source }.
alert-smoke-do = Go there now. If there is fire, raise the alarm and follow the fire plan.
alert-battery_low = Battery low
alert-battery_low-text = A battery is low: { $source }.
alert-battery_low-do = Change the battery, in locks today.
alert-guest_well_being = Guest may need help
alert-guest_well_being-text = No movement for a long time although the room is occupied: { $source }.
alert-guest_well_being-do = Call the guest. If nobody answers, knock and enter together with a colleague.
alert-write_blocked = Write blocked
alert-write_blocked-text = The write firewall refuses orders again and again: { $source }.
alert-write_blocked-do = See in the log who asks for it, and correct the rule or the system behind it.
alert-rule = Rule of the house
alert-rule-text = A rule of the house has raised an alert: { $source }.
alert-rule-do = See to what the rule is about.
alert-list_doubted = List of the PMS doubted
alert-list_doubted-text = A complete list of a PMS would check out most of the house; nobody was checked out: { $source }.
alert-list_doubted-do = Compare with the PMS. Where the list is right, say `engawa pms resync --accept` and the link's name.

## Details of alerts. The English texts are the sentences by which alerts are stored: a changed one is not found again.

detail-wake-without-time = the PMS asked for a wake-up call that can't be kept: ask at the desk when and for whom
detail-wake-not-kept = the wake-up call for { $time } can't be kept: { $why }
detail-wake-unanswered = the wake-up call for { $time } was not answered: somebody must go to the room
detail-wake-by-hand = wake-up call for { $time }: no device rings in the room, wake by hand
detail-wake-missed = the wake-up call for { $time } could not be rung in time: ask the guest
detail-not-set = { $point } could not be set to { $value }: { $why }
detail-writes-refused = writes to { $point } are refused again and again; { $why }
detail-water = water on the floor
detail-smoke = a smoke detector sounds
detail-doubt-no-answer = the PMS did not answer in time: look for P# { $number } on the bill of room { $room }
detail-doubt-link-broke = the PMS link broke before the answer: look for P# { $number } on the bill of room { $room }
detail-doubt-restarted = the gateway restarted before the answer: look for P# { $number } on the bill of room { $room }
detail-doubt-put-back = a backup was put back, and the charge may have been booked since it was made: look for P# { $number } on the bill of room { $room }
detail-frost = the room is below 7 °C
detail-water-5 = water on the floor for 5 minutes, and nobody sees to it
detail-water-15 = water on the floor for 15 minutes: call the engineer on duty
detail-smoke-1 = a smoke detector has sounded for a minute, and nobody sees to it
detail-smoke-3 = a smoke detector has sounded for 3 minutes: alarm the fire brigade
detail-battery = a lock's or sensor's battery is below 15 %
detail-battery-3 = a battery has been below 15 % for three days
detail-still = no motion for a day in an occupied room
detail-still-1 = no motion for a day in an occupied room, and nobody has looked for an hour
detail-disk-full = the disk is full: measured values are not kept
detail-disk-stuck = the disk takes nothing: { $why }
detail-journal-tight = the journal is nearly full: what can wait is refused
detail-journal-full = the journal is full: only what guests need is taken
alert-storage = Storage
alert-storage-text = The gateway is short of room to write: { $source }.
alert-storage-do = Free space on the disk and see why the cloud takes nothing. Guests can still check in; devices' charges are refused.

## The status page

page-title = { $name } – rooms
page-skip = Skip to the rooms
page-as-of = As of
page-live = Live
page-lost = Not live: the gateway does not answer. Trying again.
page-alerts = Alerts
page-links = Links and cloud
page-rooms = Rooms
page-work = Devices and postings
page-show = Show
page-all = All
page-occupied = Occupied
page-vacant = Vacant
page-look = Needs a look
page-none-shown = No room is in this state now.
page-sources = Occupied, vacant, do not disturb: as told by the PMS. Temperatures, set points, windows: as measured by the room's device; the age tells since when a value stands unchanged. Times are { $zone } time.
page-about = Engawa { $version }, property { $property }. This page shows no guest data.

facts-business-date = Business date
facts-no-date = not told by the PMS yet
facts-audit = night audit running
facts-list = list of the house running
facts-since = Running since

alerts-none = No active alert.
alerts-over = over
alerts-times = { $count } times since

links-none = No link has reported yet.
links-up = up
links-down = down
links-lines = { $count ->
    [one] { $count } line
   *[other] { $count } lines
}
links-lanes = Lanes of the journal
cloud-off = not enrolled
cloud-connected = connected
cloud-away = not reached
cloud-confirmed = everything confirmed
cloud-waiting = { $count ->
    [one] { $count } row waiting
   *[other] { $count } rows waiting
}
lanes-caption = Journal rows on their way to the cloud
lanes-lane = Lane
lanes-waiting = Waiting
lanes-confirmed = Confirmed
lanes-oldest = Oldest waiting
lane-control = Control
lane-alarms = Alarms
lane-stays = Stays
lane-audit = Audit
lane-telemetry = Telemetry
lane-bulk = Diagnostics

counts-rooms = { $count ->
    [one] { $count } room
   *[other] { $count } rooms
}
counts-occupied = { $count } occupied
counts-vacant = { $count } vacant
counts-look = { $count ->
    [one] { $count } needs a look
   *[other] { $count } need a look
}
work-devices = { $count ->
    [one] { $count } device
   *[other] { $count } devices
}
work-unwell = { $count } unwell
work-unheard = { $count } not heard of yet
work-postings = { $count ->
    [one] { $count } posting kept
   *[other] { $count } postings kept
}
work-open = { $count } not booked
work-devices-caption = Devices that do not answer as they should
work-postings-caption = Postings that are not booked
work-device = Device
work-room = Room
work-since = Since
work-why = Why
work-not-told = not told
work-amount = Amount
work-state = State
work-asked = Asked
work-beyond = and { $count } more, see the JSON API
posting-pending = waits
posting-in_flight = sent, no answer yet
posting-posted = booked
posting-refused = refused
posting-doubtful = in doubt: look in the PMS

room-room = Room
room-no-temperature = No temperature
room-set = set { $degrees }
room-ordered = ordered { $degrees }
room-set-ordered = set { $held }, ordered { $degrees }
room-measured = measured
room-last-known = last known
room-leak = Water on the floor
room-unwell = { $device } unwell
room-unwell-many = { $count } devices unwell
room-presence = Somebody inside
room-window = Window open
room-quiet = Do not disturb
room-make-up = Make up room
room-message = Message waiting
status-dirty-vacant = Dirty, vacant
status-dirty-occupied = Dirty, occupied
status-clean-vacant = Clean, vacant
status-clean-occupied = Clean, occupied
status-inspected-vacant = Inspected, vacant
status-inspected-occupied = Inspected, occupied
