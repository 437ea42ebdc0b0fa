## Huéspedes

welcome = Bienvenido al hotel { $hotel }.
goodbye = Gracias por alojarse con nosotros. Le deseamos un buen viaje.
wake-up-call = Buenos días. Este es su servicio de despertador: son las { $time }.
wake-up-set = Le despertaremos el { $date } a las { $time }.
wake-up-cleared = Se ha anulado su despertador de las { $time }.
guest-error-later = No es posible en este momento. Inténtelo de nuevo dentro de unos minutos o llame a recepción.
guest-error-refused = Lo sentimos, no es posible desde la habitación. Llame a recepción, por favor.
guest-error-time = Esa hora ya ha pasado. Elija otra, por favor.
guest-message = Tiene un mensaje. Llame a recepción, por favor.

## Avisos

alert-posting_doubtful = Cargo dudoso
alert-posting_doubtful-text = El PMS no ha confirmado el cargo { $source }.
alert-posting_doubtful-do = Compruebe en la cuenta del huésped si figura el cargo. No lo repita antes.
alert-leak = Fuga de agua
alert-leak-text = Agua en el suelo: { $source }.
alert-leak-do = Acuda de inmediato, cierre el agua y avise a la habitación de abajo.
alert-write_failed = Consigna no aceptada
alert-write_failed-text = { $source } no ha aceptado el valor indicado.
alert-write_failed-do = Compruebe si el aparato tiene corriente y si muestra un fallo; si no, llame al técnico.
alert-wake_up = Despertador
alert-wake_up-text = Hay que despertar al huésped en persona: { $source }.
alert-wake_up-do = Llame al huésped. Si nadie contesta, acuda a la habitación y llame a la puerta.
alert-smoke = Humo
alert-smoke-text = Se ha activado un detector de humo: { $source }.
alert-smoke-do = Acuda de inmediato. Si hay fuego, dé la alarma y siga el plan de emergencia.
alert-battery_low = Batería baja
alert-battery_low-text = Una batería está baja: { $source }.
alert-battery_low-do = Cambie la batería; en las cerraduras, hoy mismo.
alert-guest_well_being = El huésped puede necesitar ayuda
alert-guest_well_being-text = Hace mucho que no hay movimiento aunque la habitación está ocupada: { $source }.
alert-guest_well_being-do = Llame al huésped. Si nadie contesta, llame a la puerta y entre con un compañero.
alert-write_blocked = Escritura bloqueada
alert-write_blocked-text = El cortafuegos de escritura rechaza órdenes una y otra vez: { $source }.
alert-write_blocked-do = Mire en el diario quién las envía y corrija la regla o el sistema.
alert-rule = Regla del hotel
alert-rule-text = Una regla del hotel avisa: { $source }.
alert-rule-do = Atienda lo que vigila la regla.
alert-list_doubted = Lista del PMS en duda
alert-list_doubted-text = Una lista completa de un PMS daría salida a la mayoría de los huéspedes; no se dio salida a nadie: { $source }.
alert-list_doubted-do = Compare con el PMS. Si la lista es correcta, ejecute `engawa pms resync --accept` con el nombre del enlace.

## Detalles de los avisos

detail-wake-without-time = el PMS pidió un despertador que no se puede atender: pregunte en recepción cuándo y para quién
detail-wake-not-kept = el despertador de las { $time } no se puede atender: { $why }
detail-wake-unanswered = nadie contestó al despertador de las { $time }: alguien debe ir a la habitación
detail-wake-by-hand = despertador de las { $time }: ningún aparato suena en la habitación, despierte al huésped en persona
detail-wake-missed = el despertador de las { $time } no sonó a tiempo: pregunte al huésped
detail-not-set = no se pudo poner { $point } a { $value }: { $why }
detail-writes-refused = las escrituras en { $point } se rechazan una y otra vez; { $why }
detail-water = agua en el suelo
detail-smoke = se ha activado un detector de humo
detail-doubt-no-answer = el PMS no respondió a tiempo: busque P# { $number } en la cuenta de la habitación { $room }
detail-doubt-link-broke = el enlace con el PMS se cortó antes de la respuesta: busque P# { $number } en la cuenta de la habitación { $room }
detail-doubt-restarted = la pasarela se reinició antes de la respuesta: busque P# { $number } en la cuenta de la habitación { $room }
detail-doubt-put-back = se restauró una copia de seguridad y el cargo puede haberse registrado después de hacerla: busque P# { $number } en la cuenta de la habitación { $room }
detail-frost = la habitación está por debajo de 7 °C
detail-water-5 = agua en el suelo desde hace 5 minutos y nadie lo atiende
detail-water-15 = agua en el suelo desde hace 15 minutos: llame al técnico de guardia
detail-smoke-1 = un detector de humo suena desde hace un minuto y nadie lo atiende
detail-smoke-3 = un detector de humo suena desde hace 3 minutos: avise a los bomberos
detail-battery = la batería de una cerradura o de un sensor está por debajo del 15 %
detail-battery-3 = una batería lleva tres días por debajo del 15 %
detail-still = sin movimiento desde hace un día en una habitación ocupada
detail-still-1 = sin movimiento desde hace un día en una habitación ocupada, y nadie ha mirado en una hora
detail-disk-full = el disco está lleno: no se guardan las mediciones
detail-disk-stuck = el disco no acepta nada: { $why }
detail-journal-tight = el diario está casi lleno: lo que puede esperar se rechaza
detail-journal-full = el diario está lleno: solo se acepta lo que necesitan los huéspedes
alert-storage = Almacenamiento
alert-storage-text = A la pasarela le falta espacio para escribir: { $source }.
alert-storage-do = Libere espacio en el disco y vea por qué la nube no recibe nada. Los huéspedes pueden seguir registrándose; los cargos de aparatos se rechazan.

## Página de estado

page-title = { $name } – habitaciones
page-skip = Ir a las habitaciones
page-as-of = Datos de
page-live = En directo
page-lost = Sin conexión en directo: la pasarela no responde. Se vuelve a intentar.
page-alerts = Avisos
page-links = Enlaces y nube
page-rooms = Habitaciones
page-work = Aparatos y cargos
page-show = Mostrar
page-all = Todas
page-occupied = Ocupada
page-vacant = Libre
page-look = Por revisar
page-none-shown = Ninguna habitación está ahora en este estado.
page-sources = Ocupada, libre, no molestar: según el PMS. Temperaturas, consignas, ventanas: medidas por el aparato de la habitación; la antigüedad indica desde cuándo no cambia un valor. Horas de la zona { $zone }.
page-about = Engawa { $version }, establecimiento { $property }. Esta página no muestra datos de huéspedes.

facts-business-date = Fecha contable
facts-no-date = aún no comunicada por el PMS
facts-audit = cierre nocturno en curso
facts-list = lista del hotel en curso
facts-since = En marcha desde

alerts-none = Ningún aviso activo.
alerts-over = terminado
alerts-times = { $count } veces desde

links-none = Ningún enlace ha informado todavía.
links-up = activo
links-down = caído
links-lines = { $count ->
    [one] { $count } línea
   *[other] { $count } líneas
}
links-lanes = Vías del diario
cloud-off = sin registrar
cloud-connected = conectada
cloud-away = no se alcanza
cloud-confirmed = todo confirmado
cloud-waiting = { $count ->
    [one] { $count } fila en espera
   *[other] { $count } filas en espera
}
lanes-caption = Filas del diario de camino a la nube
lanes-lane = Vía
lanes-waiting = En espera
lanes-confirmed = Confirmadas
lanes-oldest = La más antigua en espera
lane-control = Control
lane-alarms = Alarmas
lane-stays = Estancias
lane-audit = Auditoría
lane-telemetry = Mediciones
lane-bulk = Diagnóstico

counts-rooms = { $count ->
    [one] { $count } habitación
   *[other] { $count } habitaciones
}
counts-occupied = { $count ->
    [one] { $count } ocupada
   *[other] { $count } ocupadas
}
counts-vacant = { $count ->
    [one] { $count } libre
   *[other] { $count } libres
}
counts-look = { $count } por revisar
work-devices = { $count ->
    [one] { $count } aparato
   *[other] { $count } aparatos
}
work-unwell = { $count } con fallo
work-unheard = { $count } sin noticias
work-postings = { $count ->
    [one] { $count } cargo guardado
   *[other] { $count } cargos guardados
}
work-open = { $count ->
    [one] { $count } sin contabilizar
   *[other] { $count } sin contabilizar
}
work-devices-caption = Aparatos que no responden como deben
work-postings-caption = Cargos sin contabilizar
work-device = Aparato
work-room = Habitación
work-since = Desde
work-why = Motivo
work-not-told = no indicado
work-amount = Importe
work-state = Estado
work-asked = Solicitado
work-beyond = y { $count } más, véase la API JSON
posting-pending = en espera
posting-in_flight = enviado, aún sin respuesta
posting-posted = contabilizado
posting-refused = rechazado
posting-doubtful = dudoso: compruébelo en el PMS

room-room = Habitación
room-no-temperature = Sin temperatura
room-set = consigna { $degrees }
room-ordered = pedido { $degrees }
room-set-ordered = consigna { $held }, pedido { $degrees }
room-measured = medida
room-last-known = última conocida
room-leak = Agua en el suelo
room-unwell = { $device } con fallo
room-unwell-many = { $count } aparatos con fallo
room-presence = Hay alguien dentro
room-window = Ventana abierta
room-quiet = No molestar
room-make-up = Arreglar la habitación
room-message = Mensaje pendiente
status-dirty-vacant = Sucia, libre
status-dirty-occupied = Sucia, ocupada
status-clean-vacant = Limpia, libre
status-clean-occupied = Limpia, ocupada
status-inspected-vacant = Revisada, libre
status-inspected-occupied = Revisada, ocupada
