## Clients

welcome = Bienvenue à l’hôtel { $hotel }.
goodbye = Merci de votre séjour parmi nous. Nous vous souhaitons un bon voyage.
wake-up-call = Bonjour. Voici votre réveil : il est { $time }.
wake-up-set = Nous vous réveillerons le { $date } à { $time }.
wake-up-cleared = Votre réveil de { $time } a été annulé.
guest-error-later = Cette demande ne peut pas aboutir pour le moment. Veuillez réessayer dans quelques minutes ou appeler la réception.
guest-error-refused = Nous sommes désolés, cela n’est pas possible depuis la chambre. Veuillez appeler la réception.
guest-error-time = Cette heure est déjà passée. Veuillez en choisir une autre.
guest-message = Un message vous attend. Veuillez appeler la réception.

## Alertes

alert-posting_doubtful = Imputation incertaine
alert-posting_doubtful-text = Le PMS n’a pas confirmé l’imputation { $source }.
alert-posting_doubtful-do = Vérifiez sur la note du client si le montant y figure. Ne l’imputez pas de nouveau avant.
alert-leak = Fuite d’eau
alert-leak-text = Eau au sol : { $source }.
alert-leak-do = Allez-y immédiatement, coupez l’eau et prévenez la chambre du dessous.
alert-write_failed = Consigne refusée
alert-write_failed-text = { $source } n’a pas pris la valeur demandée.
alert-write_failed-do = Vérifiez que l’appareil est alimenté et n’affiche pas de défaut ; sinon, appelez le technicien.
alert-wake_up = Réveil
alert-wake_up-text = Le client doit être réveillé en personne : { $source }.
alert-wake_up-do = Appelez le client. Sans réponse, allez frapper à la porte de la chambre.
alert-smoke = Fumée
alert-smoke-text = Un détecteur de fumée s’est déclenché : { $source }.
alert-smoke-do = Allez-y immédiatement. En cas d’incendie, donnez l’alarme et suivez le plan d’évacuation.
alert-battery_low = Pile faible
alert-battery_low-text = Une pile est presque vide : { $source }.
alert-battery_low-do = Remplacez la pile, le jour même pour les serrures.
alert-guest_well_being = Le client a peut-être besoin d’aide
alert-guest_well_being-text = Aucun mouvement depuis longtemps alors que la chambre est occupée : { $source }.
alert-guest_well_being-do = Appelez le client. Sans réponse, frappez et entrez à deux.
alert-write_blocked = Écriture bloquée
alert-write_blocked-text = Le pare-feu d’écriture refuse des ordres à répétition : { $source }.
alert-write_blocked-do = Cherchez dans le journal qui les envoie et corrigez la règle ou le système en cause.
alert-rule = Règle de l’hôtel
alert-rule-text = Une règle de l’hôtel signale : { $source }.
alert-rule-do = Occupez-vous de ce que la règle surveille.
alert-list_doubted = Liste du PMS mise en doute
alert-list_doubted-text = Une liste complète d’un PMS ferait partir la plupart des clients ; aucun départ n’a été enregistré : { $source }.
alert-list_doubted-do = Comparez avec le PMS. Si la liste est juste, lancez `engawa pms resync --accept` avec le nom de la liaison.

## Détails des alertes

detail-wake-without-time = le PMS a demandé un réveil qui ne peut pas être assuré : demandez à la réception quand et pour qui
detail-wake-not-kept = le réveil de { $time } ne peut pas être assuré : { $why }
detail-wake-unanswered = le réveil de { $time } est resté sans réponse : quelqu’un doit aller à la chambre
detail-wake-by-hand = réveil de { $time } : aucun appareil ne sonne dans la chambre, réveillez le client en personne
detail-wake-missed = le réveil de { $time } n’a pas pu sonner à l’heure : demandez au client
detail-not-set = { $point } n’a pas pu être réglé sur { $value } : { $why }
detail-writes-refused = les écritures vers { $point } sont refusées à répétition ; { $why }
detail-water = eau au sol
detail-smoke = un détecteur de fumée s’est déclenché
detail-doubt-no-answer = le PMS n’a pas répondu à temps : cherchez P# { $number } sur la note de la chambre { $room }
detail-doubt-link-broke = la liaison avec le PMS s’est rompue avant la réponse : cherchez P# { $number } sur la note de la chambre { $room }
detail-doubt-restarted = la passerelle a redémarré avant la réponse : cherchez P# { $number } sur la note de la chambre { $room }
detail-doubt-put-back = une sauvegarde a été restaurée et le débit a pu être enregistré depuis : cherchez P# { $number } sur la note de la chambre { $room }
detail-frost = la chambre est à moins de 7 °C
detail-water-5 = eau au sol depuis 5 minutes, et personne ne s’en occupe
detail-water-15 = eau au sol depuis 15 minutes : appelez le technicien de garde
detail-smoke-1 = un détecteur de fumée sonne depuis une minute, et personne ne s’en occupe
detail-smoke-3 = un détecteur de fumée sonne depuis 3 minutes : alertez les pompiers
detail-battery = la pile d’une serrure ou d’un capteur est sous 15 %
detail-battery-3 = une pile est sous 15 % depuis trois jours
detail-still = aucun mouvement depuis un jour dans une chambre occupée
detail-still-1 = aucun mouvement depuis un jour dans une chambre occupée, et personne n’a vérifié depuis une heure
detail-disk-full = le disque est plein : les mesures ne sont pas conservées
detail-disk-stuck = le disque n’accepte rien : { $why }
detail-journal-tight = le journal est presque plein : ce qui peut attendre est refusé
detail-journal-full = le journal est plein : seul ce dont les clients ont besoin est accepté
alert-storage = Stockage
alert-storage-text = La passerelle manque de place pour écrire : { $source }.
alert-storage-do = Libérez de la place sur le disque et voyez pourquoi le cloud ne prend rien. Les arrivées restent possibles ; les débits des appareils sont refusés.

## Page d’état

page-title = { $name } – chambres
page-skip = Aller aux chambres
page-as-of = État au
page-live = En direct
page-lost = Hors direct : la passerelle ne répond pas. Nouvel essai en cours.
page-alerts = Alertes
page-links = Liaisons et cloud
page-rooms = Chambres
page-work = Appareils et imputations
page-show = Afficher
page-all = Toutes
page-occupied = Occupée
page-vacant = Libre
page-look = À vérifier
page-none-shown = Aucune chambre n’est dans cet état.
page-sources = Occupée, libre, ne pas déranger : selon le PMS. Températures, consignes, fenêtres : mesurées par l’appareil de la chambre ; l’âge indique depuis quand une valeur n’a pas changé. Heures du fuseau { $zone }.
page-about = Engawa { $version }, établissement { $property }. Cette page ne montre aucune donnée de client.

facts-business-date = Date comptable
facts-no-date = pas encore communiquée par le PMS
facts-audit = clôture de nuit en cours
facts-list = liste de l’hôtel en cours
facts-since = En service depuis

alerts-none = Aucune alerte active.
alerts-over = terminée
alerts-times = { $count } fois depuis

links-none = Aucune liaison ne s’est encore signalée.
links-up = établie
links-down = coupée
links-lines = { $count ->
    [one] { $count } ligne
   *[other] { $count } lignes
}
links-lanes = Voies du journal
cloud-off = non inscrit
cloud-connected = connecté
cloud-away = injoignable
cloud-confirmed = tout est confirmé
cloud-waiting = { $count ->
    [one] { $count } ligne en attente
   *[other] { $count } lignes en attente
}
lanes-caption = Lignes du journal en route vers le cloud
lanes-lane = Voie
lanes-waiting = En attente
lanes-confirmed = Confirmées
lanes-oldest = Plus ancienne en attente
lane-control = Commandes
lane-alarms = Alarmes
lane-stays = Séjours
lane-audit = Audit
lane-telemetry = Mesures
lane-bulk = Diagnostic

counts-rooms = { $count ->
    [one] { $count } chambre
   *[other] { $count } chambres
}
counts-occupied = { $count ->
    [one] { $count } occupée
   *[other] { $count } occupées
}
counts-vacant = { $count ->
    [one] { $count } libre
   *[other] { $count } libres
}
counts-look = { $count } à vérifier
work-devices = { $count ->
    [one] { $count } appareil
   *[other] { $count } appareils
}
work-unwell = { $count } en défaut
work-unheard = { $count } sans nouvelles
work-postings = { $count ->
    [one] { $count } imputation conservée
   *[other] { $count } imputations conservées
}
work-open = { $count ->
    [one] { $count } non passée
   *[other] { $count } non passées
}
work-devices-caption = Appareils qui ne répondent pas comme prévu
work-postings-caption = Imputations non passées
work-device = Appareil
work-room = Chambre
work-since = Depuis
work-why = Motif
work-not-told = non précisé
work-amount = Montant
work-state = État
work-asked = Demandée
work-beyond = et { $count } de plus, voir l’API JSON
posting-pending = en attente
posting-in_flight = envoyée, pas encore de réponse
posting-posted = passée
posting-refused = refusée
posting-doubtful = incertaine : vérifier dans le PMS

room-room = Chambre
room-no-temperature = Pas de température
room-set = consigne { $degrees }
room-ordered = demandé { $degrees }
room-set-ordered = consigne { $held }, demandé { $degrees }
room-measured = mesurée
room-last-known = dernière connue
room-leak = Eau au sol
room-unwell = { $device } en défaut
room-unwell-many = { $count } appareils en défaut
room-presence = Quelqu’un à l’intérieur
room-window = Fenêtre ouverte
room-quiet = Ne pas déranger
room-make-up = Faire la chambre
room-message = Message en attente
status-dirty-vacant = Sale, libre
status-dirty-occupied = Sale, occupée
status-clean-vacant = Propre, libre
status-clean-occupied = Propre, occupée
status-inspected-vacant = Contrôlée, libre
status-inspected-occupied = Contrôlée, occupée
