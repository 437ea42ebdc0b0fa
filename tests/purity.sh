#!/usr/bin/env bash
# The rule that pure code has no runtime, socket, file, clock or randomness, checked.
# Two halves: the dependency tree of each pure crate, and the source of each pure folder.
set -euo pipefail
cd "$(dirname "$0")/.."

# Crates that are pure as a whole.
crates=(engawa-model engawa-protocol engawa-diag engawa-rules engawa-tuf engawa-release)
# Folders and files that are pure within crates that also hold shells.
sources=(
  edge-agent/model/src edge-agent/diag/src edge-agent/rules/src cloud-sync/protocol/src
  edge-agent/pms/src/codec edge-agent/pms/src/codec.rs edge-agent/pms/src/config.rs edge-agent/pms/src/link edge-agent/pms/src/link.rs
  edge-agent/pms/src/hosted.rs edge-agent/pms/src/hosted/{apaleo,budget,config,guests,machine,mews,ohip,request,settle}.rs edge-agent/pms/src/hosted/{apaleo,machine,mews,ohip}
  edge-agent/pms/src/hosted/import.rs edge-agent/pms/src/hosted/import/{agenda,csv,ics}.rs
  edge-agent/pms/src/{dialect,language,mask,reservation}.rs edge-agent/pms/src/explain edge-agent/pms/src/explain.rs edge-agent/pms/src/serial/line.rs
  edge-agent/field/src/profile edge-agent/field/src/profile.rs
  edge-agent/field/src/fuzz.rs edge-agent/field/src/modbus/{agenda,config,cost,decode,device,health,learnt,outline,plan,writes}.rs edge-agent/field/src/modbus/tool/guess.rs edge-agent/field/src/modbus/decode
  edge-agent/field/src/modbus/line/{expect,failure,frames,hosts,mbap,rtu}.rs
  edge-agent/field/src/mqtt/{access,commands,config,devices,discovery,documents,house,mosquitto,outbox,topic,writes}.rs edge-agent/field/src/mqtt/{devices,discovery,home_assistant,house}
  edge-agent/field/src/mqtt/sparkplug/{command,config,datatype,host,house,metrics,names,node,payload}.rs
  edge-agent/words/src
  edge-agent/api/src/{front_desk,metrics,picture,traffic,view}.rs
  firmware/tuf/src
  firmware/slots/src/{digest,machine,request,table}.rs firmware/slots/src/{machine,table}
  cloud-sync/cloud/src/rollout/{acts,answer,catalogue,cohorts,health,heard,in_use,machine,plan,report,rings,state,statements}.rs
  cloud-sync/cloud/src/releases/{clock,pace}.rs
  cloud-sync/link/src/place.rs cloud-sync/link/src/tpm/wire.rs
  edge-agent/agent/src/updates/{clock,trial,facts,system}.rs
  firmware/release/src
)

fail=0
for crate in "${crates[@]}"; do
  tree=$(cargo tree --locked -e normal --prefix none -p "$crate")
  for banned in tokio mio socket2 async-std quinn rusqlite rand; do
    if grep -q "^$banned v" <<<"$tree"; then
      echo "purity: $crate depends on $banned; move what needs it into a shell crate"
      fail=1
    fi
  done
done
for source in "${sources[@]}"; do
  [ -e "$source" ] || { echo "purity: $source does not exist; mend the list in $0"; fail=1; continue; }
  if grep -rnE 'std::(fs|process|thread)\b|net::(Tcp|Udp|ToSocket)|SystemTime|Instant::now|Timestamp::now|Zoned::now|tokio::|rand::' \
      --include='*.rs' "$source" | grep -vE ':\s*//'; then
    echo "purity: the lines above reach outside; take time, bytes and seeds as arguments instead"
    fail=1
  fi
done
[ "$fail" = 0 ] && echo "purity: ${crates[*]} and ${sources[*]} reach nothing outside"
exit "$fail"
