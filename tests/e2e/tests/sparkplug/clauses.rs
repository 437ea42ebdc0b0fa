//! Every testable clause of Sparkplug 3.0.0, by its `tck-id`: what was on the wire is held against those of an edge
//! node; of the others it is said why they are nobody's here.

use crate::checks::*;
use crate::trace::{DEVICE, Found, NODE, Trace};
use engawa_field::mqtt::sparkplug::NodeNames;

/// How many testable clauses the specification has.
const ALL: usize = 299;

#[derive(Clone, Copy)]
enum Position {
    Check(fn(&Trace) -> Found),
    /// A host application's duty.
    Host,
    /// The broker's duty.
    Server,
    /// Holds between gateways of a site: whoever gives them their ids sees to it.
    Site,
    /// No templates are published.
    NoTemplates,
    /// No data sets are published.
    NoDataSets,
    /// Of MQTT 5; the node speaks 3.1.1.
    Mqtt311,
    /// Of a list of brokers; there is one, and the node goes back to it.
    OneServer,
}
use Position::{Check, Host, Mqtt311, NoDataSets, NoTemplates, OneServer, Server, Site};

#[rustfmt::skip]
const CLAUSES: &[(Position, &str)] = &[
    (Host, "intro-sparkplug-host-state components-ph-state"),
    (Check(|t| t.topic("NBIRTH").and(t.topic("DDATA"))), "intro-group-id-string intro-edge-node-id-string topic-structure topic-structure-namespace-a"),
    (Check(|t| t.topic("DBIRTH")), "intro-device-id-string"),
    (Check(|_| ids(|bad| NodeNames::new(bad, "n", None).is_err())), "intro-group-id-chars topic-structure-namespace-valid-group-id"),
    (Check(|_| ids(|bad| NodeNames::new("g", bad, None).is_err())), "intro-edge-node-id-chars topic-structure-namespace-valid-edge-node-id"),
    (Check(|_| devices(&["a/b", "a+b", "a#b", "a"])), "intro-device-id-chars topic-structure-namespace-valid-device-id"),
    (Check(|_| devices(&["a/b", "a%2Fb", "a%252Fb", "a+b"])), "topic-structure-namespace-unique-device-id"),
    (Site, "intro-edge-node-id-uniqueness topic-structure-namespace-unique-edge-node-descriptor topic-structure-namespace-duplicate-device-id-across-edge-node payloads-nbirth-edge-node-descriptor"),
    (Check(|t| t.news_only("DDATA").and(t.news_only("NDATA"))), "principles-rbe-recommended"),
    (Check(|t| t.births_first()), "principles-birth-certificates-order"),
    (Check(clean), "principles-persistence-clean-session-311"),
    (Mqtt311, "principles-persistence-clean-session-50 payloads-ndeath-will-message-publisher-disconnect-mqtt50"),
    (Check(|t| DEVICE.iter().try_for_each(|kind| t.topic(kind))), "topic-structure-namespace-device-id-associated-message-types"),
    (Check(|t| NODE.iter().try_for_each(|kind| t.topic(kind))), "topic-structure-namespace-device-id-non-associated-message-types"),
    (Check(|t| t.topic("NBIRTH")), "topics-nbirth-topic message-flow-edge-node-birth-publish-nbirth-topic"),
    (Check(|t| t.quiet("NBIRTH")), "topics-nbirth-mqtt payloads-nbirth-qos payloads-nbirth-retain message-flow-edge-node-birth-publish-nbirth-qos message-flow-edge-node-birth-publish-nbirth-retained"),
    (Check(|t| t.each(&["NBIRTH"], |told| told.seq() == Some(0))), "topics-nbirth-seq-num payloads-sequence-num-req-nbirth payloads-nbirth-seq message-flow-edge-node-birth-publish-nbirth-payload-seq"),
    (Check(|t| t.stamped("NBIRTH")), "topics-nbirth-timestamp payloads-nbirth-timestamp"),
    (Check(|t| t.stamped("NDATA")), "topics-ndata-timestamp payloads-ndata-timestamp"),
    (Check(|t| t.stamped("DBIRTH")), "topics-dbirth-timestamp payloads-dbirth-timestamp"),
    (Check(|t| t.stamped("DDATA")), "topics-ddata-timestamp payloads-ddata-timestamp"),
    (Check(|t| t.stamped("DDEATH")), "payloads-ddeath-timestamp"),
    (Check(|t| t.announced("NDATA")), "topics-nbirth-metric-reqs operational-behavior-data-publish-nbirth"),
    (Check(|t| t.complete("NBIRTH")), "topics-nbirth-metrics operational-behavior-data-publish-nbirth-values"),
    (NoTemplates, "topics-nbirth-templates"),
    (Check(|t| t.each(&["NBIRTH"], |told| told.bd_seq().is_some())), "topics-nbirth-bdseq-included payloads-nbirth-bdseq"),
    (Check(|t| t.numbers_of_wills(&["NBIRTH"]).and(bd_seq_type(t))), "topics-nbirth-bdseq-matching payloads-nbirth-bdseq-repeat operational-behavior-data-commands-rebirth-action-3 message-flow-edge-node-birth-publish-nbirth-payload-bdSeq"),
    (Check(|t| t.numbers_of_wills(&[])), "topics-nbirth-bdseq-increment"),
    (Check(rebirth_metric), "topics-nbirth-rebirth-metric payloads-nbirth-rebirth-req operational-behavior-data-commands-rebirth-name operational-behavior-data-commands-rebirth-name-aliases operational-behavior-data-commands-rebirth-datatype operational-behavior-data-commands-rebirth-value"),
    (Check(|t| t.topic("NDATA")), "topics-ndata-topic"),
    (Check(|t| t.quiet("NDATA")), "topics-ndata-mqtt payloads-ndata-qos payloads-ndata-retain"),
    (Check(|t| t.in_sequence("NDATA")), "payloads-ndata-seq payloads-ndata-seq-inc"),
    (Check(|t| t.topic("DBIRTH")), "topics-dbirth-topic"),
    (Check(|t| t.quiet("DBIRTH")), "topics-dbirth-mqtt payloads-dbirth-qos payloads-dbirth-retain"),
    (Check(|t| t.in_sequence("DBIRTH")), "payloads-dbirth-seq payloads-dbirth-seq-inc"),
    (Check(|t| t.topic("DDATA")), "topics-ddata-topic"),
    (Check(|t| t.quiet("DDATA")), "topics-ddata-mqtt payloads-ddata-qos payloads-ddata-retain"),
    (Check(|t| t.in_sequence("DDATA")), "payloads-ddata-seq payloads-ddata-seq-inc"),
    (Check(|t| t.topic("DDEATH")), "topics-ddeath-topic"),
    (Check(|t| t.quiet("DDEATH")), "topics-ddeath-mqtt"),
    (Check(|t| t.in_sequence("DDEATH")), "payloads-ddeath-seq payloads-ddeath-seq-inc"),
    (Check(|t| t.in_sequence("NDATA")), "topics-ndata-seq-num"),
    (Check(|t| t.in_sequence("DBIRTH")), "topics-dbirth-seq message-flow-device-birth-publish-dbirth-payload-seq"),
    (Check(|t| t.in_sequence("DDATA")), "topics-ddata-seq-num"),
    (Check(|t| t.in_sequence("DDEATH")), "topics-ddeath-seq-num payloads-ddeath-seq-number"),
    (Check(|t| t.news_only("NDATA")), "topics-ndata-payload operational-behavior-data-publish-nbirth-change"),
    (Check(|t| t.news_only("DDATA")), "topics-ddata-payload operational-behavior-data-publish-dbirth-change"),
    (Check(|t| t.topic("NDEATH").and(t.will(|will| will.sent.topic == "spBv1.0/Hotels/NDEATH/grand"))), "topics-ndeath-topic"),
    (Check(|t| t.each(&["NDEATH"], |told| told.metrics().len() == 1 && told.bd_seq().is_some())), "topics-ndeath-payload"),
    (Check(|t| t.each(&["NDEATH"], |told| told.seq().is_none()).and(t.will(|will| will.seq().is_none()))), "topics-ndeath-seq payloads-ndeath-seq"),
    (Check(|t| t.subscribes("spBv1.0/Hotels/NCMD/grand", 1..=3)), "topics-ncmd-topic message-flow-edge-node-ncmd-subscribe"),
    (Check(|t| t.subscribes("spBv1.0/Hotels/DCMD/grand/+", 1..=3)), "topics-dcmd-topic message-flow-device-dcmd-subscribe"),
    (Host, "topics-ncmd-mqtt topics-ncmd-timestamp topics-ncmd-payload topics-dcmd-mqtt topics-dcmd-timestamp topics-dcmd-payload"),
    (Check(|t| t.announced("DDATA")), "topics-dbirth-metric-reqs operational-behavior-data-publish-dbirth"),
    (Check(|t| t.complete("DBIRTH")), "topics-dbirth-metrics operational-behavior-data-publish-dbirth-values"),
    (Host, "host-topic-phid-birth-message host-topic-phid-birth-qos host-topic-phid-birth-retain host-topic-phid-birth-topic host-topic-phid-birth-sub-required host-topic-phid-birth-required host-topic-phid-birth-payload host-topic-phid-birth-payload-timestamp host-topic-phid-death-qos host-topic-phid-death-retain host-topic-phid-death-topic host-topic-phid-death-required host-topic-phid-death-payload host-topic-phid-death-payload-timestamp-connect host-topic-phid-death-payload-timestamp-disconnect-clean host-topic-phid-death-payload-timestamp-disconnect-with-no-disconnect-packet"),
    (Check(case), "case-sensitivity-sparkplug-ids case-sensitivity-metric-names"),
    (Host, "message-flow-phid-sparkplug-clean-session-311 message-flow-phid-sparkplug-clean-session-50 message-flow-phid-sparkplug-subscription message-flow-phid-sparkplug-state-publish message-flow-phid-sparkplug-state-publish-payload message-flow-phid-sparkplug-state-publish-payload-timestamp message-flow-hid-sparkplug-state-message-delivered"),
    (Check(|t| t.subscribes("spBv1.0/Hotels/NCMD/grand", 1..=3).and(t.births_first())), "message-flow-edge-node-birth-publish-connect"),
    (Check(|t| t.will(|will| will.kind == "NDEATH")), "message-flow-edge-node-birth-publish-will-message payloads-ndeath-will-message"),
    (Check(|t| t.will(|will| will.sent.topic == "spBv1.0/Hotels/NDEATH/grand")), "message-flow-edge-node-birth-publish-will-message-topic"),
    (Check(|t| t.will(|will| will.bd_seq().is_some())), "message-flow-edge-node-birth-publish-will-message-payload"),
    (Check(|t| t.numbers_of_wills(&[]).and(bd_seq_type(t)).and(wraps())), "message-flow-edge-node-birth-publish-will-message-payload-bdSeq"),
    (Check(|t| t.will(|will| will.sent.qos == 1)), "message-flow-edge-node-birth-publish-will-message-qos payloads-ndeath-will-message-qos"),
    (Check(|t| t.will(|will| !will.sent.retain)), "message-flow-edge-node-birth-publish-will-message-will-retained payloads-ndeath-will-message-retain"),
    (Check(|t| t.numbers_of_wills(&["NBIRTH", "NDEATH"])), "payloads-ndeath-bdseq"),
    (Check(|t| t.waits_until("online", 1).and(t.waits_until("online again", 2))), "message-flow-edge-node-birth-publish-phid-wait message-flow-edge-node-birth-publish-phid-wait-online operational-behavior-edge-node-birth-sequence-wait"),
    (Check(|t| t.subscribes("spBv1.0/STATE/scada", 1..=2).and(other_host())), "message-flow-edge-node-birth-publish-phid-wait-id"),
    (Check(|_| old_online()), "message-flow-edge-node-birth-publish-phid-wait-timestamp"),
    (Check(|t| t.each(&["NBIRTH", "DBIRTH"], |told| !told.metrics().is_empty())), "message-flow-edge-node-birth-publish-nbirth-payload message-flow-device-birth-publish-dbirth-payload payloads-metric-datatype-value-type"),
    (Check(|t| t.leaves("host offline").and(t.waits_until("online again", 2))), "message-flow-edge-node-birth-publish-phid-offline operational-behavior-edge-node-termination-host-offline"),
    (Check(|t| t.leaves("stop").and(t.leaves("host offline"))), "operational-behavior-edge-node-intentional-disconnect-ndeath operational-behavior-edge-node-intentional-disconnect-packet payloads-ndeath-will-message-publisher payloads-ndeath-will-message-publisher-disconnect-mqtt311"),
    (Host, "operational-behavior-edge-node-termination-host-action-ndeath-node-offline operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale operational-behavior-edge-node-termination-host-action-ndeath-devices-offline operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale operational-behavior-edge-node-termination-host-action-ddeath-devices-offline operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale"),
    (OneServer, "operational-behavior-edge-node-termination-host-offline-reconnect operational-behavior-primary-application-state-with-multiple-servers-walk"),
    (Check(old_state), "operational-behavior-edge-node-termination-host-offline-timestamp"),
    (Check(|t| t.births_first()), "message-flow-device-birth-publish-nbirth-wait payloads-dbirth-order payloads-ndata-order payloads-ddata-order"),
    (Check(|t| t.topic("DBIRTH").and(t.topic("NBIRTH"))), "message-flow-device-birth-publish-dbirth-topic message-flow-device-birth-publish-dbirth-match-edge-node-topic"),
    (Check(|t| t.quiet("DBIRTH")), "message-flow-device-birth-publish-dbirth-qos message-flow-device-birth-publish-dbirth-retained"),
    (Check(device_lost), "operational-behavior-device-ddeath"),
    (Host, "operational-behavior-host-reordering-param operational-behavior-host-reordering-start operational-behavior-host-reordering-rebirth operational-behavior-host-reordering-success operational-behavior-primary-application-state-with-multiple-servers-state-subs operational-behavior-primary-application-state-with-multiple-servers-state operational-behavior-host-application-host-id operational-behavior-host-application-connect-will operational-behavior-host-application-connect-will-topic operational-behavior-host-application-connect-will-payload operational-behavior-host-application-connect-will-qos operational-behavior-host-application-connect-will-retained operational-behavior-host-application-connect-birth operational-behavior-host-application-connect-birth-topic operational-behavior-host-application-connect-birth-payload operational-behavior-host-application-connect-birth-qos operational-behavior-host-application-connect-birth-retained operational-behavior-host-application-multi-server-timestamp operational-behavior-host-application-termination operational-behavior-host-application-death-topic operational-behavior-host-application-death-payload operational-behavior-host-application-death-qos operational-behavior-host-application-death-retained operational-behavior-host-application-disconnect-intentional"),
    (Check(one_connection), "operational-behavior-primary-application-state-with-multiple-servers-single-server"),
    (Check(|t| t.chronological("NBIRTH").and(t.chronological("NDATA"))), "operational-behavior-data-publish-nbirth-order"),
    (Check(|t| t.chronological("DBIRTH").and(t.chronological("DDATA"))), "operational-behavior-data-publish-dbirth-order"),
    (Host, "operational-behavior-data-commands-ncmd-rebirth-verb operational-behavior-data-commands-ncmd-rebirth-name operational-behavior-data-commands-ncmd-rebirth-value operational-behavior-data-commands-ncmd-verb operational-behavior-data-commands-ncmd-metric-name operational-behavior-data-commands-ncmd-metric-value operational-behavior-data-commands-dcmd-verb operational-behavior-data-commands-dcmd-metric-name operational-behavior-data-commands-dcmd-metric-value"),
    (Check(reborn), "operational-behavior-data-commands-rebirth-action-1 operational-behavior-data-commands-rebirth-action-2"),
    (Check(|t| t.stamped("NBIRTH").and(t.stamped("DDATA"))), "payloads-timestamp-in-UTC"),
    (Check(|t| t.in_sequence("DDATA")), "payloads-sequence-num-always-included payloads-sequence-num-incrementing"),
    (Check(names), "payloads-name-requirement payloads-alias-birth-requirement"),
    (Check(aliases), "payloads-alias-uniqueness"),
    (Check(|t| t.each_metric(&DATA, |it| it["name"].is_null() && !it["alias"].is_null())), "payloads-alias-data-cmd-requirement"),
    (Check(|t| t.each_metric(&["NBIRTH", "DBIRTH", "NDATA", "DDATA"], |it| t.in_window(&it["timestamp"]))), "payloads-name-birth-data-requirement payloads-metric-timestamp-in-UTC"),
    (Host, "payloads-name-cmd-requirement"),
    (Check(|t| t.each_metric(&BIRTHS, |it| matches!(it["datatype"].as_u64(), Some(4 | 10..=12)))), "payloads-metric-datatype-value payloads-metric-datatype-req"),
    (Check(|t| t.each_metric(&DATA, |it| it["datatype"].is_null())), "payloads-metric-datatype-not-req"),
    (Check(properties), "payloads-propertyset-keys-array-size payloads-propertyset-values-array-size payloads-metric-propertyvalue-type-type payloads-metric-propertyvalue-type-value payloads-metric-propertyvalue-type-req"),
    (Check(quality), "payloads-propertyset-quality-value-type payloads-propertyset-quality-value-value"),
    (NoDataSets, "payloads-dataset-column-size payloads-dataset-column-num-headers payloads-dataset-types-def payloads-dataset-types-num payloads-dataset-types-type payloads-dataset-types-value payloads-dataset-parameter-type-req"),
    (NoTemplates, "payloads-template-dataset-value payloads-template-definition-nbirth-only payloads-template-definition-is-definition payloads-template-definition-ref payloads-template-definition-members payloads-template-definition-nbirth payloads-template-definition-parameters payloads-template-definition-parameters-default payloads-template-instance-is-definition payloads-template-instance-ref payloads-template-instance-members payloads-template-instance-members-birth payloads-template-instance-members-data payloads-template-instance-parameters payloads-template-version payloads-template-ref-definition payloads-template-ref-instance payloads-template-is-definition payloads-template-is-definition-definition payloads-template-is-definition-instance payloads-template-parameter-name-required payloads-template-parameter-name-type payloads-template-parameter-value-type payloads-template-parameter-type-value payloads-template-parameter-type-req payloads-template-parameter-value"),
    (Host, "payloads-ncmd-timestamp payloads-ncmd-seq payloads-ncmd-qos payloads-ncmd-retain payloads-dcmd-timestamp payloads-dcmd-seq payloads-dcmd-qos payloads-dcmd-retain payloads-state-will-message payloads-state-will-message-qos payloads-state-will-message-retain payloads-state-will-message-payload payloads-state-subscribe payloads-state-birth payloads-state-birth-payload conformance-primary-host"),
    (Server, "conformance-mqtt-qos0 conformance-mqtt-qos1 conformance-mqtt-will-messages conformance-mqtt-retained conformance-mqtt-aware-basic conformance-mqtt-aware-store conformance-mqtt-aware-nbirth-mqtt-topic conformance-mqtt-aware-nbirth-mqtt-retain conformance-mqtt-aware-dbirth-mqtt-topic conformance-mqtt-aware-dbirth-mqtt-retain conformance-mqtt-aware-ndeath-timestamp"),
];

/// Prints the list; fails with every clause that does not hold.
pub fn check_all(trace: &Trace) {
    let (mut count, mut held, mut broken) = (0, 0, Vec::new());
    for (position, clauses) in CLAUSES {
        for clause in clauses.split(' ') {
            count += 1;
            let word = match position {
                Check(check) => match check(trace) {
                    Ok(()) => {
                        held += 1;
                        "holds".to_owned()
                    }
                    Err(why) => {
                        broken.push(format!("{clause}: {why}"));
                        format!("BROKEN: {why}")
                    }
                },
                Host => "not ours: a host application's".to_owned(),
                Server => "not ours: the broker's".to_owned(),
                Site => "not ours: whoever gives out ids".to_owned(),
                NoTemplates => "does not apply: no templates".to_owned(),
                NoDataSets => "does not apply: no data sets".to_owned(),
                Mqtt311 => "does not apply: MQTT 3.1.1 is spoken".to_owned(),
                OneServer => "does not apply: one broker".to_owned(),
            };
            println!("tck-id-{clause}: {word}");
        }
    }
    println!("{held} of {count} clauses are an edge node's and hold");
    assert_eq!(count, ALL);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
