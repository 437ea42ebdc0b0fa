## Gäste

welcome = Willkommen im { $hotel }.
goodbye = Vielen Dank für Ihren Aufenthalt. Wir wünschen Ihnen eine gute Reise.
wake-up-call = Guten Morgen. Dies ist Ihr Weckruf: Es ist { $time } Uhr.
wake-up-set = Wir wecken Sie am { $date } um { $time } Uhr.
wake-up-cleared = Ihr Weckruf um { $time } Uhr wurde gelöscht.
guest-error-later = Das ist im Moment leider nicht möglich. Bitte versuchen Sie es in einigen Minuten noch einmal oder rufen Sie die Rezeption an.
guest-error-refused = Das ist vom Zimmer aus leider nicht möglich. Bitte rufen Sie die Rezeption an.
guest-error-time = Diese Uhrzeit ist schon vorbei. Bitte wählen Sie eine andere.
guest-message = Für Sie liegt eine Nachricht vor. Bitte rufen Sie die Rezeption an.

## Meldungen

alert-posting_doubtful = Buchung ungeklärt
alert-posting_doubtful-text = Das PMS hat die Buchung { $source } nicht bestätigt.
alert-posting_doubtful-do = Auf der Gästerechnung nachsehen, ob der Betrag gebucht ist. Vorher nicht noch einmal buchen.
alert-leak = Wasseraustritt
alert-leak-text = Wasser auf dem Boden: { $source }.
alert-leak-do = Sofort hingehen, Wasser abstellen und das Zimmer darunter warnen.
alert-write_failed = Sollwert nicht übernommen
alert-write_failed-text = { $source } hat den eingestellten Wert nicht übernommen.
alert-write_failed-do = Prüfen, ob das Gerät Strom hat und eine Störung anzeigt; sonst die Technik rufen.
alert-wake_up = Weckruf
alert-wake_up-text = Der Gast muss persönlich geweckt werden: { $source }.
alert-wake_up-do = Den Gast anrufen. Meldet sich niemand, zum Zimmer gehen und klopfen.
alert-smoke = Rauch
alert-smoke-text = Ein Rauchmelder löst aus: { $source }.
alert-smoke-do = Sofort hingehen. Bei Feuer Alarm auslösen und nach Brandschutzordnung handeln.
alert-battery_low = Batterie schwach
alert-battery_low-text = Eine Batterie ist fast leer: { $source }.
alert-battery_low-do = Die Batterie wechseln, bei Türschlössern noch heute.
alert-guest_well_being = Gast braucht vielleicht Hilfe
alert-guest_well_being-text = Seit Langem keine Bewegung, obwohl das Zimmer belegt ist: { $source }.
alert-guest_well_being-do = Den Gast anrufen. Meldet sich niemand, klopfen und zu zweit nachsehen.
alert-write_blocked = Schreiben gesperrt
alert-write_blocked-text = Die Schreibsperre lehnt wiederholt Aufträge ab: { $source }.
alert-write_blocked-do = Im Protokoll nachsehen, wer sie stellt, und die Regel oder das System dahinter korrigieren.
alert-rule = Hausregel
alert-rule-text = Eine Regel des Hauses meldet: { $source }.
alert-rule-do = Nachsehen, worum es in der Regel geht.
alert-list_doubted = Liste des PMS bezweifelt
alert-list_doubted-text = Eine vollständige Liste eines PMS würde das halbe Haus auschecken; niemand wurde ausgecheckt: { $source }.
alert-list_doubted-do = Mit dem PMS vergleichen. Stimmt die Liste, `engawa pms resync --accept` und den Namen der Verbindung eingeben.

## Einzelheiten der Meldungen

detail-wake-without-time = das PMS hat einen Weckruf verlangt, der nicht ausgeführt werden kann: am Empfang nachfragen, wann und für wen
detail-wake-not-kept = der Weckruf für { $time } kann nicht ausgeführt werden: { $why }
detail-wake-unanswered = der Weckruf für { $time } wurde nicht beantwortet: jemand muss zum Zimmer gehen
detail-wake-by-hand = Weckruf für { $time }: im Zimmer läutet kein Gerät, bitte persönlich wecken
detail-wake-missed = der Weckruf für { $time } konnte nicht rechtzeitig geläutet werden: den Gast fragen
detail-not-set = { $point } ließ sich nicht auf { $value } stellen: { $why }
detail-writes-refused = Schreibaufträge an { $point } werden wiederholt abgelehnt; { $why }
detail-water = Wasser auf dem Boden
detail-smoke = ein Rauchmelder löst aus
detail-doubt-no-answer = das PMS hat nicht rechtzeitig geantwortet: P# { $number } auf der Rechnung von Zimmer { $room } suchen
detail-doubt-link-broke = die Verbindung zum PMS brach vor der Antwort ab: P# { $number } auf der Rechnung von Zimmer { $room } suchen
detail-doubt-restarted = das Gateway wurde vor der Antwort neu gestartet: P# { $number } auf der Rechnung von Zimmer { $room } suchen
detail-doubt-put-back = eine Sicherung wurde zurückgespielt, und seit sie gemacht wurde, kann gebucht worden sein: P# { $number } auf der Rechnung von Zimmer { $room } suchen
detail-frost = das Zimmer ist kälter als 7 °C
detail-water-5 = seit 5 Minuten Wasser auf dem Boden, und niemand kümmert sich darum
detail-water-15 = seit 15 Minuten Wasser auf dem Boden: die diensthabende Technik rufen
detail-smoke-1 = ein Rauchmelder löst seit einer Minute aus, und niemand kümmert sich darum
detail-smoke-3 = ein Rauchmelder löst seit 3 Minuten aus: die Feuerwehr rufen
detail-battery = die Batterie eines Schlosses oder Sensors ist unter 15 %
detail-battery-3 = eine Batterie ist seit drei Tagen unter 15 %
detail-still = seit einem Tag keine Bewegung in einem belegten Zimmer
detail-still-1 = seit einem Tag keine Bewegung in einem belegten Zimmer, und seit einer Stunde hat niemand nachgesehen
detail-disk-full = die Festplatte ist voll: Messwerte werden nicht aufgehoben
detail-disk-stuck = die Festplatte nimmt nichts an: { $why }
detail-journal-tight = das Journal ist fast voll: was warten kann, wird abgelehnt
detail-journal-full = das Journal ist voll: nur was Gäste brauchen, wird angenommen
alert-storage = Speicher
alert-storage-text = Dem Gateway fehlt Platz zum Schreiben: { $source }.
alert-storage-do = Auf der Festplatte Platz schaffen und nachsehen, warum die Cloud nichts abnimmt. Gäste können weiter einchecken; Buchungen von Geräten werden abgelehnt.

## Statusseite

page-title = { $name } – Zimmer
page-skip = Zu den Zimmern springen
page-as-of = Stand
page-live = Live
page-lost = Nicht live: Das Gateway antwortet nicht. Neuer Versuch läuft.
page-alerts = Meldungen
page-links = Verbindungen und Cloud
page-rooms = Zimmer
page-work = Geräte und Buchungen
page-show = Anzeigen
page-all = Alle
page-occupied = Belegt
page-vacant = Frei
page-look = Bitte nachsehen
page-none-shown = Kein Zimmer ist zurzeit in diesem Zustand.
page-sources = Belegt, frei, bitte nicht stören: laut PMS. Temperaturen, Sollwerte, Fenster: vom Gerät im Zimmer gemessen; das Alter sagt, seit wann ein Wert unverändert ist. Uhrzeiten in der Zeitzone { $zone }.
page-about = Engawa { $version }, Haus { $property }. Diese Seite zeigt keine Gästedaten.

facts-business-date = Buchungsdatum
facts-no-date = vom PMS noch nicht gemeldet
facts-audit = Tagesabschluss läuft
facts-list = Hausliste wird übertragen
facts-since = In Betrieb seit

alerts-none = Keine offene Meldung.
alerts-over = vorbei
alerts-times = { $count }-mal seit

links-none = Noch keine Verbindung hat sich gemeldet.
links-up = verbunden
links-down = getrennt
links-lines = { $count ->
    [one] { $count } Leitung
   *[other] { $count } Leitungen
}
links-lanes = Spuren des Journals
cloud-off = nicht angemeldet
cloud-connected = verbunden
cloud-away = nicht erreichbar
cloud-confirmed = alles bestätigt
cloud-waiting = { $count ->
    [one] { $count } Zeile wartet
   *[other] { $count } Zeilen warten
}
lanes-caption = Journalzeilen auf dem Weg in die Cloud
lanes-lane = Spur
lanes-waiting = Wartend
lanes-confirmed = Bestätigt
lanes-oldest = Älteste wartende
lane-control = Steuerung
lane-alarms = Alarme
lane-stays = Aufenthalte
lane-audit = Protokoll
lane-telemetry = Messwerte
lane-bulk = Diagnose

counts-rooms = { $count } Zimmer
counts-occupied = { $count } belegt
counts-vacant = { $count } frei
counts-look = { $count } zum Nachsehen
work-devices = { $count ->
    [one] { $count } Gerät
   *[other] { $count } Geräte
}
work-unwell = { $count } gestört
work-unheard = { $count } noch nicht gemeldet
work-postings = { $count ->
    [one] { $count } Buchung gespeichert
   *[other] { $count } Buchungen gespeichert
}
work-open = { $count } nicht gebucht
work-devices-caption = Geräte, die nicht wie erwartet antworten
work-postings-caption = Nicht gebuchte Beträge
work-device = Gerät
work-room = Zimmer
work-since = Seit
work-why = Grund
work-not-told = nicht gemeldet
work-amount = Betrag
work-state = Zustand
work-asked = Angefordert
work-beyond = und { $count } weitere, siehe JSON-API
posting-pending = wartet
posting-in_flight = gesendet, noch keine Antwort
posting-posted = gebucht
posting-refused = abgelehnt
posting-doubtful = ungeklärt: im PMS nachsehen

room-room = Zimmer
room-no-temperature = Keine Temperatur
room-set = Soll { $degrees }
room-ordered = beauftragt { $degrees }
room-set-ordered = Soll { $held }, beauftragt { $degrees }
room-measured = gemessen
room-last-known = zuletzt bekannt
room-leak = Wasser auf dem Boden
room-unwell = { $device } gestört
room-unwell-many = { $count } Geräte gestört
room-presence = Jemand ist im Zimmer
room-window = Fenster offen
room-quiet = Bitte nicht stören
room-make-up = Bitte Zimmer aufräumen
room-message = Nachricht liegt vor
status-dirty-vacant = Ungereinigt, frei
status-dirty-occupied = Ungereinigt, belegt
status-clean-vacant = Gereinigt, frei
status-clean-occupied = Gereinigt, belegt
status-inspected-vacant = Kontrolliert, frei
status-inspected-occupied = Kontrolliert, belegt
