## النزلاء

welcome = أهلًا وسهلًا بكم في { $hotel }.
goodbye = شكرًا لإقامتكم معنا. نتمنى لكم رحلة سعيدة.
wake-up-call = صباح الخير. هذه مكالمة الإيقاظ التي طلبتموها: الساعة الآن { $time }.
wake-up-set = سنوقظكم يوم { $date } الساعة { $time }.
wake-up-cleared = أُلغيت مكالمة الإيقاظ المحددة للساعة { $time }.
guest-error-later = نعتذر، لا يمكن تنفيذ الطلب حاليًا. يُرجى المحاولة بعد بضع دقائق أو الاتصال بمكتب الاستقبال.
guest-error-refused = نعتذر، لا يمكن تنفيذ هذا الطلب من الغرفة. يُرجى الاتصال بمكتب الاستقبال.
guest-error-time = لقد مضى هذا الوقت. يُرجى اختيار وقت آخر.
guest-message = لديكم رسالة. يُرجى الاتصال بمكتب الاستقبال.

## التنبيهات

alert-posting_doubtful = قيد غير مؤكد
alert-posting_doubtful-text = لم يؤكد نظام إدارة الفندق القيد { $source }.
alert-posting_doubtful-do = تحقق من وجود المبلغ في فاتورة النزيل، ولا تُعِد القيد قبل ذلك.
alert-leak = تسرب مياه
alert-leak-text = مياه على الأرض: { $source }.
alert-leak-do = توجّه إلى المكان فورًا وأغلق المياه وأبلغ الغرفة التي في الأسفل.
alert-write_failed = لم تُقبل القيمة المضبوطة
alert-write_failed-text = لم يقبل { $source } القيمة المطلوبة.
alert-write_failed-do = تحقق من وصول الكهرباء إلى الجهاز ومن عدم ظهور عطل عليه، وإلا فاتصل بالفني.
alert-wake_up = مكالمة إيقاظ
alert-wake_up-text = يجب إيقاظ النزيل شخصيًا: { $source }.
alert-wake_up-do = اتصل بالنزيل، وإذا لم يجب أحد فتوجّه إلى الغرفة واطرق الباب.
alert-smoke = دخان
alert-smoke-text = كاشف الدخان يُنذر: { $source }.
alert-smoke-do = توجّه إلى المكان فورًا. وإن وُجد حريق فأطلق الإنذار واتبع خطة الإخلاء.
alert-battery_low = البطارية ضعيفة
alert-battery_low-text = بطارية على وشك النفاد: { $source }.
alert-battery_low-do = استبدل البطارية، وفي الأقفال اليوم نفسه.
alert-guest_well_being = قد يحتاج النزيل إلى مساعدة
alert-guest_well_being-text = لا حركة منذ وقت طويل مع أن الغرفة مشغولة: { $source }.
alert-guest_well_being-do = اتصل بالنزيل، وإذا لم يجب أحد فاطرق الباب وادخل برفقة زميل.
alert-write_blocked = الكتابة محظورة
alert-write_blocked-text = جدار حماية الكتابة يرفض الأوامر مرارًا: { $source }.
alert-write_blocked-do = ابحث في السجل عن مصدر الأوامر وصحّح القاعدة أو النظام المسبب.
alert-rule = قاعدة المنشأة
alert-rule-text = أطلقت إحدى قواعد المنشأة تنبيهًا: { $source }.
alert-rule-do = تحقق من الأمر الذي تراقبه القاعدة.
alert-list_doubted = قائمة PMS مشكوك فيها
alert-list_doubted-text = قائمة كاملة من نظام PMS كانت ستسجل مغادرة معظم النزلاء؛ لم تُسجَّل مغادرة أحد: { $source }.
alert-list_doubted-do = قارن مع نظام PMS. إن كانت القائمة صحيحة فنفّذ `engawa pms resync --accept` مع اسم الوصلة.

## تفاصيل التنبيهات

detail-wake-without-time = طلب نظام إدارة الفندق إيقاظًا لا يمكن تنفيذه: اسأل مكتب الاستقبال عن الموعد والنزيل
detail-wake-not-kept = لا يمكن تنفيذ الإيقاظ المحدد في { $time }: { $why }
detail-wake-unanswered = لم يرد أحد على الإيقاظ المحدد في { $time }: يجب أن يتوجه أحد إلى الغرفة
detail-wake-by-hand = إيقاظ في { $time }: لا يوجد جهاز يرن في الغرفة، أيقظ النزيل شخصيًا
detail-wake-missed = تعذر الرنين في الموعد للإيقاظ المحدد في { $time }: اسأل النزيل
detail-not-set = تعذر ضبط { $point } على { $value }: { $why }
detail-writes-refused = تُرفض الكتابة إلى { $point } مرارًا؛ { $why }
detail-water = مياه على الأرض
detail-smoke = كاشف الدخان يُنذر
detail-doubt-no-answer = لم يرد نظام إدارة الفندق في الوقت المحدد: ابحث عن P# { $number } في فاتورة الغرفة { $room }
detail-doubt-link-broke = انقطع الاتصال بنظام إدارة الفندق قبل الرد: ابحث عن P# { $number } في فاتورة الغرفة { $room }
detail-doubt-restarted = أُعيد تشغيل البوابة قبل الرد: ابحث عن P# { $number } في فاتورة الغرفة { $room }
detail-doubt-put-back = أُعيدت نسخة احتياطية، وربما قُيّد المبلغ بعد إنشائها: ابحث عن P# { $number } في فاتورة الغرفة { $room }
detail-frost = حرارة الغرفة أقل من 7 °م
detail-water-5 = مياه على الأرض منذ 5 دقائق ولا أحد يعالج الأمر
detail-water-15 = مياه على الأرض منذ 15 دقيقة: اتصل بالفني المناوب
detail-smoke-1 = كاشف الدخان يُنذر منذ دقيقة ولا أحد يعالج الأمر
detail-smoke-3 = كاشف الدخان يُنذر منذ 3 دقائق: اتصل بالإطفاء
detail-battery = بطارية قفل أو مستشعر أقل من 15 %
detail-battery-3 = بطارية أقل من 15 % منذ ثلاثة أيام
detail-still = لا حركة منذ يوم في غرفة مشغولة
detail-still-1 = لا حركة منذ يوم في غرفة مشغولة ولم يتفقدها أحد منذ ساعة
detail-disk-full = القرص ممتلئ: لا تُحفظ القيم المقاسة
detail-disk-stuck = القرص لا يقبل الكتابة: { $why }
detail-journal-tight = السجل يكاد يمتلئ: يُرفض ما يمكن تأجيله
detail-journal-full = السجل ممتلئ: لا يُقبل إلا ما يحتاجه النزلاء
alert-storage = التخزين
alert-storage-text = لا تجد البوابة مساحة كافية للكتابة: { $source }.
alert-storage-do = أفرغ مساحة على القرص وابحث عن سبب عدم استلام السحابة. ما زال تسجيل وصول النزلاء ممكناً؛ وتُرفض القيود الواردة من الأجهزة.

## صفحة الحالة

page-title = { $name } – الغرف
page-skip = الانتقال إلى الغرف
page-as-of = حتى
page-live = مباشر
page-lost = غير مباشر: البوابة لا تستجيب. تجري إعادة المحاولة.
page-alerts = التنبيهات
page-links = الاتصالات والسحابة
page-rooms = الغرف
page-work = الأجهزة والقيود
page-show = عرض
page-all = الكل
page-occupied = مشغولة
page-vacant = شاغرة
page-look = تحتاج إلى معاينة
page-none-shown = لا توجد غرفة في هذه الحالة الآن.
page-sources = مشغولة، شاغرة، عدم الإزعاج: وفقًا لنظام إدارة الفندق. درجات الحرارة والقيم المضبوطة والنوافذ: كما قاسها جهاز الغرفة؛ والمدة تبيّن منذ متى لم تتغير القيمة. الأوقات بتوقيت { $zone }.
page-about = ‏Engawa { $version }، المنشأة { $property }. لا تعرض هذه الصفحة أي بيانات للنزلاء.

facts-business-date = تاريخ العمل
facts-no-date = لم يبلّغ به نظام إدارة الفندق بعد
facts-audit = التدقيق الليلي جارٍ
facts-list = يجري استلام قائمة النزلاء
facts-since = يعمل منذ

alerts-none = لا توجد تنبيهات نشطة.
alerts-over = انتهى
alerts-times = عدد المرات { $count } منذ

links-none = لم يبلّغ أي اتصال بعد.
links-up = متصل
links-down = منقطع
links-lines = { $count ->
    [one] خط واحد ({ $count })
    [two] خطان ({ $count })
    [few] { $count } خطوط
   *[other] { $count } خطًا
}
links-lanes = مسارات السجل
cloud-off = غير مسجّل
cloud-connected = متصل
cloud-away = تعذر الوصول
cloud-confirmed = تم تأكيد كل شيء
cloud-waiting = السطور المنتظرة: { $count }
lanes-caption = سطور السجل في طريقها إلى السحابة
lanes-lane = المسار
lanes-waiting = منتظرة
lanes-confirmed = مؤكدة
lanes-oldest = أقدم منتظر
lane-control = التحكم
lane-alarms = الإنذارات
lane-stays = الإقامات
lane-audit = التدقيق
lane-telemetry = القياسات
lane-bulk = التشخيص

counts-rooms = الغرف: { $count }
counts-occupied = مشغولة: { $count }
counts-vacant = شاغرة: { $count }
counts-look = تحتاج إلى معاينة: { $count }
work-devices = الأجهزة: { $count }
work-unwell = المعطلة: { $count }
work-unheard = لم تبلّغ بعد: { $count }
work-postings = القيود المحفوظة: { $count }
work-open = غير المقيّدة: { $count }
work-devices-caption = أجهزة لا تستجيب كما يجب
work-postings-caption = مبالغ لم تُقيَّد
work-device = الجهاز
work-room = الغرفة
work-since = منذ
work-why = السبب
work-not-told = غير معروف
work-amount = المبلغ
work-state = الحالة
work-asked = وقت الطلب
work-beyond = و{ $count } أخرى، انظر واجهة JSON
posting-pending = في الانتظار
posting-in_flight = أُرسل ولم يصل الرد بعد
posting-posted = مقيَّد
posting-refused = مرفوض
posting-doubtful = غير مؤكد: تحقق منه في نظام إدارة الفندق

room-room = الغرفة
room-no-temperature = لا توجد درجة حرارة
room-set = المضبوطة { $degrees }
room-ordered = المطلوبة { $degrees }
room-set-ordered = المضبوطة { $held }، المطلوبة { $degrees }
room-measured = مقاسة
room-last-known = آخر قيمة معروفة
room-leak = مياه على الأرض
room-unwell = عطل في { $device }
room-unwell-many = الأجهزة المعطلة: { $count }
room-presence = يوجد شخص في الداخل
room-window = النافذة مفتوحة
room-quiet = عدم الإزعاج
room-make-up = يُرجى ترتيب الغرفة
room-message = توجد رسالة
status-dirty-vacant = غير نظيفة، شاغرة
status-dirty-occupied = غير نظيفة، مشغولة
status-clean-vacant = نظيفة، شاغرة
status-clean-occupied = نظيفة، مشغولة
status-inspected-vacant = مفحوصة، شاغرة
status-inspected-occupied = مفحوصة، مشغولة
