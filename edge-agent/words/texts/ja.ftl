## お客様

welcome = { $hotel }へようこそお越しくださいました。
goodbye = このたびはご宿泊いただき、誠にありがとうございました。どうぞお気をつけてお帰りくださいませ。
wake-up-call = おはようございます。モーニングコールのお時間でございます。ただいま{ $time }でございます。
wake-up-set = { $date } { $time }にモーニングコールを承りました。
wake-up-cleared = { $time }のモーニングコールを取り消しいたしました。
guest-error-later = 申し訳ございません。ただいま承ることができません。数分後にもう一度お試しいただくか、フロントまでお電話くださいませ。
guest-error-refused = 申し訳ございません。お部屋からは承ることができません。フロントまでお電話くださいませ。
guest-error-time = ご指定の時刻は過ぎております。別の時刻をお選びくださいませ。
guest-message = 伝言をお預かりしております。フロントまでお電話くださいませ。

## 警報

alert-posting_doubtful = 計上未確認
alert-posting_doubtful-text = 計上{ $source }に対するPMSの確認がありません。
alert-posting_doubtful-do = お客様の請求明細に計上されているか確認してください。確認前に再計上しないでください。
alert-leak = 漏水
alert-leak-text = 床に水があります：{ $source }
alert-leak-do = すぐに現場へ行き、止水し、下の階の客室に連絡してください。
alert-write_failed = 設定値が反映されません
alert-write_failed-text = { $source }に設定値が反映されませんでした。
alert-write_failed-do = 機器の電源と故障表示を確認してください。異常がなければ設備担当に連絡してください。
alert-wake_up = モーニングコール
alert-wake_up-text = 係員がお客様を起こす必要があります：{ $source }
alert-wake_up-do = お客様にお電話してください。応答がなければ、客室へ伺ってノックしてください。
alert-smoke = 煙
alert-smoke-text = 煙感知器が作動しています：{ $source }
alert-smoke-do = すぐに現場へ行ってください。火災の場合は通報し、消防計画に従ってください。
alert-battery_low = 電池残量低下
alert-battery_low-text = 電池の残量が少なくなっています：{ $source }
alert-battery_low-do = 電池を交換してください。ドアロックは本日中に交換してください。
alert-guest_well_being = お客様の安否確認
alert-guest_well_being-text = 在室中ですが、長時間動きがありません：{ $source }
alert-guest_well_being-do = お客様にお電話してください。応答がなければ、二名でノックのうえ入室して確認してください。
alert-write_blocked = 書き込み制限
alert-write_blocked-text = 書き込みファイアウォールが指示を繰り返し拒否しています：{ $source }
alert-write_blocked-do = ログで指示元を確認し、ルールまたは接続システムを修正してください。
alert-rule = 施設のルール
alert-rule-text = 施設のルールによる警報です：{ $source }
alert-rule-do = ルールの対象を確認してください。
alert-list_doubted = PMS のリストに疑い
alert-list_doubted-text = PMS の完全なリストに従うと大半の宿泊客がチェックアウトになります。誰もチェックアウトしていません：{ $source }
alert-list_doubted-do = PMS と照合してください。リストが正しければ `engawa pms resync --accept` に接続名を付けて実行してください。

## 警報の詳細

detail-wake-without-time = PMSから受けたモーニングコールは実行できません：時刻と対象をフロントで確認してください
detail-wake-not-kept = { $time }のモーニングコールは実行できません：{ $why }
detail-wake-unanswered = { $time }のモーニングコールに応答がありません：係員が客室へ伺ってください
detail-wake-by-hand = { $time }のモーニングコール：客室に鳴らす機器がないため、係員が起こしてください
detail-wake-missed = { $time }のモーニングコールを時間どおりに鳴らせませんでした：お客様に確認してください
detail-not-set = { $point }を{ $value }に設定できませんでした：{ $why }
detail-writes-refused = { $point }への書き込みが繰り返し拒否されています：{ $why }
detail-water = 床に水があります
detail-smoke = 煙感知器が作動しています
detail-doubt-no-answer = PMSから時間内に応答がありません：{ $room }号室の請求明細でP# { $number }を確認してください
detail-doubt-link-broke = 応答の前にPMSとの接続が切れました：{ $room }号室の請求明細でP# { $number }を確認してください
detail-doubt-restarted = 応答の前にゲートウェイが再起動しました：{ $room }号室の請求明細でP# { $number }を確認してください
detail-frost = 室温が7 °Cを下回っています
detail-water-5 = 床の水が5分間続いていますが、対応者がいません
detail-water-15 = 床の水が15分間続いています：当直の設備担当に連絡してください
detail-smoke-1 = 煙感知器が1分間作動していますが、対応者がいません
detail-smoke-3 = 煙感知器が3分間作動しています：消防に通報してください
detail-battery = ドアロックまたはセンサーの電池残量が15 %を下回っています
detail-battery-3 = 電池残量が3日間15 %を下回っています
detail-still = 在室中の客室で1日動きがありません
detail-still-1 = 在室中の客室で1日動きがなく、1時間確認されていません

## 状況画面

page-title = { $name } – 客室
page-skip = 客室一覧へ移動
page-as-of = 現在時刻
page-live = 自動更新中
page-lost = 自動更新が止まっています。ゲートウェイの応答がないため、再接続しています。
page-alerts = 警報
page-links = 接続とクラウド
page-rooms = 客室
page-work = 機器と計上
page-show = 表示
page-all = すべて
page-occupied = 在室
page-vacant = 空室
page-look = 要確認
page-none-shown = 現在、この状態の客室はありません。
page-sources = 在室・空室・起こさないでください：PMSの情報です。温度・設定温度・窓：客室の機器の計測値で、経過時間は値が変わっていない期間を示します。時刻は{ $zone }の時間です。
page-about = Engawa { $version }、施設 { $property }。この画面にお客様の情報は表示されません。

facts-business-date = 営業日
facts-no-date = PMSから未受信
facts-audit = 夜間締め処理中
facts-list = 在館者リスト受信中
facts-since = 稼働開始

alerts-none = 発生中の警報はありません。
alerts-over = 解消済み
alerts-times = { $count }回、初回

links-none = まだ接続の報告がありません。
links-up = 接続中
links-down = 切断
links-lines = { $count }回線
links-lanes = ジャーナルの区分
cloud-off = 未登録
cloud-connected = 接続中
cloud-away = 接続できません
cloud-confirmed = すべて確認済み
cloud-waiting = { $count }件が送信待ち
lanes-caption = クラウドへ送信するジャーナルの件数
lanes-lane = 区分
lanes-waiting = 送信待ち
lanes-confirmed = 確認済み
lanes-oldest = 最も古い送信待ち
lane-control = 制御
lane-alarms = 警報
lane-stays = 滞在
lane-audit = 監査
lane-telemetry = 計測値

counts-rooms = { $count }室
counts-occupied = 在室{ $count }
counts-vacant = 空室{ $count }
counts-look = 要確認{ $count }
work-devices = 機器{ $count }台
work-unwell = 異常{ $count }台
work-unheard = 未通信{ $count }台
work-postings = 計上{ $count }件を保存
work-open = 未計上{ $count }件
work-devices-caption = 正常に応答しない機器
work-postings-caption = 未計上の明細
work-device = 機器
work-room = 客室
work-since = 発生時刻
work-why = 理由
work-not-told = 不明
work-amount = 金額
work-state = 状態
work-asked = 依頼時刻
work-beyond = ほか{ $count }件はJSON APIをご覧ください
posting-pending = 待機中
posting-in_flight = 送信済み、応答待ち
posting-posted = 計上済み
posting-refused = 拒否
posting-doubtful = 未確認：PMSで確認してください

room-room = 客室
room-no-temperature = 温度なし
room-set = 設定{ $degrees }
room-ordered = 指示{ $degrees }
room-set-ordered = 設定{ $held }、指示{ $degrees }
room-measured = 計測
room-last-known = 最終値
room-leak = 床に水があります
room-unwell = { $device }異常
room-unwell-many = 機器{ $count }台が異常
room-presence = 人の気配あり
room-window = 窓が開いています
room-quiet = 起こさないでください
room-make-up = 清掃してください
room-message = 伝言あり
status-dirty-vacant = 未清掃・空室
status-dirty-occupied = 未清掃・在室
status-clean-vacant = 清掃済み・空室
status-clean-occupied = 清掃済み・在室
status-inspected-vacant = 点検済み・空室
status-inspected-occupied = 点検済み・在室
