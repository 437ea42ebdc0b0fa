# deploy/systemd/engawa.service, made the image's: the supervisor starts the agent out of its slots on the data partition.
s#^ExecStart=.*#ExecStart=/usr/lib/engawa/engawa-supervisor /var/lib/engawa-app --run-dir /run/engawa --memory-mib 160 -- /etc/engawa/engawa.toml#
s#^ExecReload=.*#ExecReload=/usr/bin/engawa reload /etc/engawa/engawa.toml#
s#^Documentation=.*#ConditionPathExists=/etc/engawa/engawa.toml\nRequiresMountsFor=/etc/engawa /var/lib/engawa /var/lib/engawa-app#
s#^After=network.target#After=network.target engawa-app.service\nRequires=engawa-app.service#
s#^StateDirectory=.*#ReadWritePaths=/var/lib/engawa /var/lib/engawa-app#
/^StateDirectoryMode=/d
/^ConfigurationDirectory/d
