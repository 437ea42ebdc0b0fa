# deploy/systemd/engawa.service, supervised.conf and the command line's way in, made the image's: where programs lie, and what
# the unit waits for.
s#/usr/local/lib/engawa#/usr/lib/engawa#g
s#/usr/local/bin/engawa#/usr/bin/engawa#g
s#^Documentation=.*#ConditionPathExists=/etc/engawa/engawa.toml\nRequiresMountsFor=/etc/engawa /var/lib/engawa /var/lib/engawa-app#
