## 客人

welcome = 欢迎光临{ $hotel }。
goodbye = 感谢您的入住，祝您一路平安。
wake-up-call = 早上好，这是您预订的叫醒服务，现在是{ $time }。
wake-up-set = 我们将于{ $date } { $time }为您提供叫醒服务。
wake-up-cleared = 您{ $time }的叫醒服务已取消。
guest-error-later = 很抱歉，目前无法办理。请您几分钟后再试，或致电前台。
guest-error-refused = 很抱歉，无法在客房内办理。请您致电前台。
guest-error-time = 该时间已过，请您另选时间。
guest-message = 您有一条留言，请致电前台。

## 警报

alert-posting_doubtful = 入账存疑
alert-posting_doubtful-text = PMS未确认入账{ $source }。
alert-posting_doubtful-do = 请查看客人账单上是否已有该笔费用。确认之前请勿重复入账。
alert-leak = 漏水
alert-leak-text = 地面有水：{ $source }。
alert-leak-do = 请立即前往，关闭水阀，并通知楼下客房。
alert-write_failed = 设定值未生效
alert-write_failed-text = { $source }未接受设定值。
alert-write_failed-do = 请检查设备是否通电、是否显示故障；否则请联系工程部。
alert-wake_up = 叫醒服务
alert-wake_up-text = 需要人工叫醒客人：{ $source }。
alert-wake_up-do = 请致电客人。如无人接听，请到客房敲门。
alert-smoke = 烟雾
alert-smoke-text = 烟雾探测器报警：{ $source }。
alert-smoke-do = 请立即前往。如有火情，请报警并按消防预案处理。
alert-battery_low = 电量低
alert-battery_low-text = 电池电量低：{ $source }。
alert-battery_low-do = 请更换电池；门锁请于当日更换。
alert-guest_well_being = 客人可能需要帮助
alert-guest_well_being-text = 房间有人但长时间没有动静：{ $source }。
alert-guest_well_being-do = 请致电客人。如无人接听，请敲门，并与同事一同进入查看。
alert-write_blocked = 写入被阻止
alert-write_blocked-text = 写入防火墙反复拒绝指令：{ $source }。
alert-write_blocked-do = 请在日志中查看来源，并修正规则或相关系统。
alert-rule = 酒店规则
alert-rule-text = 酒店规则触发警报：{ $source }。
alert-rule-do = 请处理该规则所涉及的事项。
alert-list_doubted = PMS 名单存疑
alert-list_doubted-text = PMS 的完整名单会使大部分住客退房；未对任何人办理退房：{ $source }。
alert-list_doubted-do = 请与 PMS 核对。名单无误时，请执行 `engawa pms resync --accept` 并加上连接名称。

## 警报详情

detail-wake-without-time = PMS要求的叫醒服务无法执行：请向前台确认时间和客人
detail-wake-not-kept = { $time }的叫醒服务无法执行：{ $why }
detail-wake-unanswered = { $time }的叫醒服务无人应答：请派人前往客房
detail-wake-by-hand = { $time }的叫醒服务：客房内没有可响铃的设备，请人工叫醒
detail-wake-missed = { $time }的叫醒服务未能按时响铃：请询问客人
detail-not-set = 无法将{ $point }设为{ $value }：{ $why }
detail-writes-refused = 对{ $point }的写入反复被拒绝：{ $why }
detail-water = 地面有水
detail-smoke = 烟雾探测器报警
detail-doubt-no-answer = PMS未及时回复：请在{ $room }房的账单上查找P# { $number }
detail-doubt-link-broke = 收到回复前PMS连接中断：请在{ $room }房的账单上查找P# { $number }
detail-doubt-restarted = 收到回复前网关重启：请在{ $room }房的账单上查找P# { $number }
detail-frost = 室温低于7 °C
detail-water-5 = 地面有水已5分钟，无人处理
detail-water-15 = 地面有水已15分钟：请联系值班工程师
detail-smoke-1 = 烟雾探测器已报警1分钟，无人处理
detail-smoke-3 = 烟雾探测器已报警3分钟：请报火警
detail-battery = 门锁或传感器的电量低于15 %
detail-battery-3 = 电池电量低于15 %已三天
detail-still = 有人入住的房间一天没有动静
detail-still-1 = 有人入住的房间一天没有动静，且一小时内无人查看

## 状态页

page-title = { $name } – 客房
page-skip = 跳到客房列表
page-as-of = 截至
page-live = 实时
page-lost = 未实时更新：网关没有响应，正在重试。
page-alerts = 警报
page-links = 连接与云端
page-rooms = 客房
page-work = 设备与入账
page-show = 显示
page-all = 全部
page-occupied = 在住
page-vacant = 空房
page-look = 需查看
page-none-shown = 目前没有处于该状态的客房。
page-sources = 在住、空房、请勿打扰：来自PMS。温度、设定温度、窗户：由客房设备测得；时长表示数值保持不变的时间。时间为{ $zone }时区。
page-about = Engawa { $version }，酒店 { $property }。本页不显示客人信息。

facts-business-date = 营业日期
facts-no-date = PMS尚未提供
facts-audit = 夜审进行中
facts-list = 正在接收在住名单
facts-since = 运行开始于

alerts-none = 没有未解除的警报。
alerts-over = 已解除
alerts-times = { $count }次，首次

links-none = 尚无连接上报。
links-up = 正常
links-down = 断开
links-lines = { $count }条线路
links-lanes = 日志通道
cloud-off = 未注册
cloud-connected = 已连接
cloud-away = 无法连接
cloud-confirmed = 全部已确认
cloud-waiting = { $count }条等待发送
lanes-caption = 正在发往云端的日志
lanes-lane = 通道
lanes-waiting = 等待
lanes-confirmed = 已确认
lanes-oldest = 最早的等待
lane-control = 控制
lane-alarms = 警报
lane-stays = 住宿
lane-audit = 审计
lane-telemetry = 测量值

counts-rooms = { $count }间客房
counts-occupied = 在住{ $count }
counts-vacant = 空房{ $count }
counts-look = 需查看{ $count }
work-devices = { $count }台设备
work-unwell = 异常{ $count }台
work-unheard = 尚无消息{ $count }台
work-postings = 已保存入账{ $count }笔
work-open = 未入账{ $count }笔
work-devices-caption = 未正常响应的设备
work-postings-caption = 未入账的费用
work-device = 设备
work-room = 客房
work-since = 开始时间
work-why = 原因
work-not-told = 未说明
work-amount = 金额
work-state = 状态
work-asked = 提交时间
work-beyond = 另有{ $count }条，见JSON API
posting-pending = 等待中
posting-in_flight = 已发送，尚无回复
posting-posted = 已入账
posting-refused = 被拒绝
posting-doubtful = 存疑：请在PMS中查看

room-room = 客房
room-no-temperature = 无温度
room-set = 设定{ $degrees }
room-ordered = 指令{ $degrees }
room-set-ordered = 设定{ $held }，指令{ $degrees }
room-measured = 测得
room-last-known = 最后已知
room-leak = 地面有水
room-unwell = { $device }异常
room-unwell-many = { $count }台设备异常
room-presence = 室内有人
room-window = 窗户开着
room-quiet = 请勿打扰
room-make-up = 请打扫房间
room-message = 有留言
status-dirty-vacant = 脏房，空房
status-dirty-occupied = 脏房，在住
status-clean-vacant = 干净，空房
status-clean-occupied = 干净，在住
status-inspected-vacant = 已检查，空房
status-inspected-occupied = 已检查，在住
