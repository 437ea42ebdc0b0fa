//! MQTT 3.1.1, which every broker speaks.

use super::{Delivery, Event, Failure, FailureKind, Hello, MAX_PACKET, Message, NotTaken, Receipt, broken};
use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, EventLoop, LastWill, MqttOptions, Packet, Publish, QoS,
    StateError, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, TlsError, Transport,
};
use tokio::sync::mpsc;

pub(super) fn options(hello: Hello<'_>) -> MqttOptions {
    let mut options = MqttOptions::new(hello.client_id, hello.host, hello.port);
    options
        .set_keep_alive(hello.keep_alive)
        .set_clean_session(hello.session.is_none())
        .set_manual_acks(true)
        .set_inflight(hello.in_flight)
        .set_max_packet_size(MAX_PACKET, MAX_PACKET);
    if let Some(will) = hello.will {
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.retain));
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

fn event_of(event: rumqttc::Event) -> Option<Event> {
    Some(match event {
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => Event::Greeted { most: None },
        rumqttc::Event::Incoming(Packet::SubAck(ack)) => {
            let refused = ack.return_codes.iter().map(|code| *code == SubscribeReasonCode::Failure);
            Event::Subscribed { refused: refused.collect() }
        }
        rumqttc::Event::Incoming(Packet::PubAck(ack)) => Event::Acknowledged { id: ack.pkid, refused: None },
        rumqttc::Event::Incoming(Packet::Publish(publish)) => {
            let Publish { topic, payload, retain, qos, pkid, .. } = publish;
            let receipt = (qos != QoS::AtMostOnce).then_some(Receipt(pkid));
            Event::Message(Message { topic, payload, retained: retain, receipt })
        }
        // QoS 0 has no packet id.
        rumqttc::Event::Outgoing(rumqttc::Outgoing::Publish(0)) => Event::Sent,
        rumqttc::Event::Outgoing(rumqttc::Outgoing::Publish(id)) => Event::Numbered(id),
        rumqttc::Event::Outgoing(rumqttc::Outgoing::Disconnect) => Event::Left,
        _ => return None,
    })
}

pub(super) fn publish(
    client: &AsyncClient,
    topic: &str,
    payload: Vec<u8>,
    delivery: Delivery,
    retain: bool,
) -> Result<(), NotTaken> {
    client.try_publish(topic, qos(delivery), retain, payload).map_err(|_| NotTaken)
}

pub(super) fn subscribe(
    client: &AsyncClient,
    filters: &[String],
    delivery: Delivery,
) -> Result<(), NotTaken> {
    let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos(delivery)));
    client.try_subscribe_many(filters).map_err(|_| NotTaken)
}

pub(super) fn acknowledge(client: &AsyncClient, id: u16) -> Result<(), NotTaken> {
    let mut of = Publish::new("", QoS::AtLeastOnce, Vec::new());
    of.pkid = id;
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
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            ("it does not answer".to_owned(), true)
        }
        ConnectionError::ConnectionRefused(code) => {
            let kind = match code {
                ConnectReturnCode::RefusedProtocolVersion => FailureKind::Version,
                _ => FailureKind::Other,
            };
            return Failure { why: format!("it refuses the client: {}", refusal(*code)), kind };
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
        other => (other.to_string(), false),
    };
    let kind = if ended && !greeted { FailureKind::Mute } else { FailureKind::Other };
    Failure { why, kind }
}

/// The return codes of MQTT 3.1.1, section 3.2.2.3.
fn refusal(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::RefusedProtocolVersion => "it does not know MQTT 3.1.1",
        ConnectReturnCode::BadClientId => "it does not accept the client id; see `client_id`",
        ConnectReturnCode::ServiceUnavailable => "it is not available",
        ConnectReturnCode::BadUserNamePassword => "user name or password are wrong",
        ConnectReturnCode::NotAuthorized => "user name or password are wrong, or have no rights",
        ConnectReturnCode::Success => "it gives no reason",
    }
}
