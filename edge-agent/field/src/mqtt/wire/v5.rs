//! MQTT 5: sessions with an end, reasons for refusals, and messages that expire at the broker.

use super::{Delivery, Event, Failure, FailureKind, Hello, MAX_PACKET, Message, NotTaken, Receipt, broken};
use rumqttc::v5::mqttbytes::v5::{
    ConnAckProperties, ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, Packet, PubAckReason,
    Publish, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error as CodecError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, EventLoop, MqttOptions, StateError};
use rumqttc::{TlsConfiguration, TlsError, Transport};
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) fn options(hello: Hello<'_>) -> MqttOptions {
    let mut options = MqttOptions::new(hello.client_id, hello.host, hello.port);
    let session = hello.session.map(|keep| u32::try_from(keep.as_secs()).unwrap_or(u32::MAX));
    options
        .set_keep_alive(hello.keep_alive)
        .set_clean_start(session.is_none())
        .set_session_expiry_interval(session)
        .set_manual_acks(true)
        .set_outgoing_inflight_upper_limit(hello.in_flight)
        .set_max_packet_size(u32::try_from(MAX_PACKET).ok());
    if let Some(will) = hello.will {
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.retain, None));
    }
    if let Some(credential) = hello.credential {
        options.set_credentials(credential.username(), credential.password());
    }
    if let Some(tls) = hello.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    options
}

pub(super) async fn poll(mut connection: EventLoop, sender: mpsc::Sender<Result<Event, Failure>>) {
    let mut greeted = false;
    loop {
        let told = match connection.poll().await {
            Ok(event) => event_of(event).map(Ok),
            Err(error) => Some(Err(failure(&error, greeted))),
        };
        let Some(told) = told else { continue };
        greeted |= matches!(told, Ok(Event::Greeted { .. }));
        let over = told.is_err();
        if sender.send(told).await.is_err() || over {
            return;
        }
    }
}

fn event_of(event: rumqttc::v5::Event) -> Option<Event> {
    Some(match event {
        rumqttc::v5::Event::Incoming(Packet::ConnAck(ack)) => {
            let most = |told: ConnAckProperties| usize::try_from(told.max_packet_size?).ok();
            Event::Greeted { most: ack.properties.and_then(most) }
        }
        rumqttc::v5::Event::Incoming(Packet::SubAck(ack)) => {
            let refused =
                ack.return_codes.iter().map(|code| !matches!(code, SubscribeReasonCode::Success(_)));
            Event::Subscribed { refused: refused.collect() }
        }
        rumqttc::v5::Event::Incoming(Packet::PubAck(ack)) => {
            Event::Acknowledged { id: ack.pkid, refused: not_taken(ack.reason) }
        }
        rumqttc::v5::Event::Incoming(Packet::Publish(publish)) => {
            let Publish { topic, payload, retain, qos, pkid, .. } = publish;
            // The standard allows nothing else; what is no text is on no topic of ours.
            let topic = String::from_utf8_lossy(&topic).into_owned();
            let receipt = (qos != QoS::AtMostOnce).then_some(Receipt(pkid));
            Event::Message(Message { topic, payload, retained: retain, receipt })
        }
        // QoS 0 has no packet id.
        rumqttc::v5::Event::Outgoing(rumqttc::Outgoing::Publish(0)) => Event::Sent,
        rumqttc::v5::Event::Outgoing(rumqttc::Outgoing::Publish(id)) => Event::Numbered(id),
        rumqttc::v5::Event::Outgoing(rumqttc::Outgoing::Disconnect) => Event::Left,
        _ => return None,
    })
}

pub(super) fn publish(
    client: &AsyncClient,
    topic: &str,
    payload: Vec<u8>,
    delivery: Delivery,
    retain: bool,
    expires_in: Option<Duration>,
) -> Result<(), NotTaken> {
    let taken = match expires_in {
        None => client.try_publish(topic, qos(delivery), retain, payload),
        Some(left) => {
            // 0 would mean at once.
            let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1);
            let properties =
                PublishProperties { message_expiry_interval: Some(seconds), ..PublishProperties::default() };
            client.try_publish_with_properties(topic, qos(delivery), retain, payload, properties)
        }
    };
    taken.map_err(|_| NotTaken)
}

pub(super) fn subscribe(
    client: &AsyncClient,
    filters: &[String],
    delivery: Delivery,
) -> Result<(), NotTaken> {
    let filters = filters.iter().map(|filter| Filter::new(filter.clone(), qos(delivery)));
    client.try_subscribe_many(filters).map_err(|_| NotTaken)
}

pub(super) fn acknowledge(client: &AsyncClient, id: u16) -> Result<(), NotTaken> {
    let of = Publish { qos: QoS::AtLeastOnce, pkid: id, ..Publish::default() };
    client.try_ack(&of).map_err(|_| NotTaken)
}

fn qos(delivery: Delivery) -> QoS {
    match delivery {
        Delivery::AtMostOnce => QoS::AtMostOnce,
        Delivery::AtLeastOnce => QoS::AtLeastOnce,
    }
}

fn failure(error: &ConnectionError, greeted: bool) -> Failure {
    let (why, ended) = match error {
        ConnectionError::Io(error)
        | ConnectionError::Tls(TlsError::Io(error))
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(CodecError::Io(error)),
        ) => broken(error),
        ConnectionError::Tls(error) => (format!("TLS: {error}"), false),
        ConnectionError::Timeout(_) => ("it does not answer".to_owned(), true),
        ConnectionError::ConnectionRefused(code) => {
            let kind = match code {
                ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => {
                    FailureKind::Version
                }
                _ => FailureKind::Other,
            };
            return Failure { why: format!("it refuses the client: {}", refusal(*code)), kind };
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            let detail = reason_string.as_ref().map_or_else(String::new, |text| format!(" ({text})"));
            (format!("it ended the connection: {}{detail}", goodbye(*reason_code)), false)
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            ("it answers no more pings".to_owned(), false)
        }
        ConnectionError::MqttState(StateError::CollisionTimeout) => {
            ("it left a publication without acknowledgement".to_owned(), false)
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            ("it closed the connection".to_owned(), true)
        }
        // An answer of MQTT 3.1.1 can't be read as one of MQTT 5.
        ConnectionError::MqttState(StateError::Deserialization(error)) => {
            (format!("its answer can't be read: {error}"), true)
        }
        other => (other.to_string(), false),
    };
    let kind = if ended && !greeted { FailureKind::Mute } else { FailureKind::Other };
    Failure { why, kind }
}

/// Why a publication is not taken (MQTT 5, section 3.4.2.1).
fn not_taken(reason: PubAckReason) -> Option<&'static str> {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
        PubAckReason::UnspecifiedError => Some("for no reason that it gives"),
        PubAckReason::ImplementationSpecificError => Some("for a reason of its own"),
        PubAckReason::NotAuthorized => Some("because this user may not publish there"),
        PubAckReason::TopicNameInvalid => Some("because it does not accept the topic"),
        PubAckReason::PacketIdentifierInUse => Some("because its packet id is in use"),
        PubAckReason::QuotaExceeded => Some("because a limit of the broker is reached"),
        PubAckReason::PayloadFormatInvalid => Some("because the payload is not as it was announced"),
    }
}

/// Why a client is not let in (MQTT 5, section 3.2.2.2).
fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => {
            "it does not know MQTT 5"
        }
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => {
            "it does not accept the client id; see `client_id`"
        }
        ConnectReturnCode::ServiceUnavailable | ConnectReturnCode::ServerUnavailable => "it is not available",
        ConnectReturnCode::BadUserNamePassword => "user name or password are wrong",
        ConnectReturnCode::NotAuthorized => "user name or password are wrong, or have no rights",
        ConnectReturnCode::ServerBusy => "it is busy",
        ConnectReturnCode::Banned => "this client is banned",
        ConnectReturnCode::BadAuthenticationMethod => "it wants another way of authentication",
        ConnectReturnCode::TopicNameInvalid => "it does not accept the last will's topic",
        ConnectReturnCode::PacketTooLarge => "the first packet is too large for it",
        ConnectReturnCode::QuotaExceeded => "a limit of the broker is reached",
        ConnectReturnCode::PayloadFormatInvalid => "it does not accept the last will",
        ConnectReturnCode::RetainNotSupported => "it keeps no retained messages, which the house needs",
        ConnectReturnCode::QoSNotSupported => "it knows no QoS 1, which the house needs",
        ConnectReturnCode::UseAnotherServer | ConnectReturnCode::ServerMoved => {
            "another broker is to be used: ask its operator which"
        }
        ConnectReturnCode::ConnectionRateExceeded => "too many connections in a short time",
        ConnectReturnCode::MalformedPacket | ConnectReturnCode::ProtocolError => {
            "it can't read what was sent"
        }
        ConnectReturnCode::UnspecifiedError
        | ConnectReturnCode::ImplementationSpecificError
        | ConnectReturnCode::Success => "it gives no reason",
    }
}

/// Why the broker ends a connection (MQTT 5, section 3.14.2.1).
fn goodbye(code: DisconnectReasonCode) -> String {
    match code {
        DisconnectReasonCode::NotAuthorized => "this user has no rights".to_owned(),
        DisconnectReasonCode::ServerBusy => "it is busy".to_owned(),
        DisconnectReasonCode::ServerShuttingDown => "it shuts down".to_owned(),
        DisconnectReasonCode::KeepAliveTimeout => "it has not heard of us for too long".to_owned(),
        DisconnectReasonCode::SessionTakenOver => {
            "another client uses the same client id; see `client_id`".to_owned()
        }
        DisconnectReasonCode::QuotaExceeded => "a limit of the broker is reached".to_owned(),
        DisconnectReasonCode::PacketTooLarge => "a packet was too large for it".to_owned(),
        DisconnectReasonCode::MessageRateTooHigh => "too many messages in a short time".to_owned(),
        DisconnectReasonCode::AdministrativeAction => "its operator has ended it".to_owned(),
        DisconnectReasonCode::RetainNotSupported => {
            "it keeps no retained messages, which the house needs".to_owned()
        }
        DisconnectReasonCode::QoSNotSupported => "it knows no QoS 1, which the house needs".to_owned(),
        other => format!("{other:?}"),
    }
}
