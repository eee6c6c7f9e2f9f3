//! State commits with the transaction and moves with its partition.

use bytes::Bytes;

use super::Backend;
use super::client::Client;

fn put(client: &mut Client, partition: u32, key: &str, value: Option<&str>) {
    let mut transaction = client.consumer.begin().unwrap();
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    transaction
        .put_state(partition, Bytes::copy_from_slice(key.as_bytes()), value)
        .unwrap();
    transaction.commit().unwrap();
}

fn get(client: &Client, partition: u32, key: &str) -> Option<String> {
    let value = client.consumer.state().get(partition, key.as_bytes()).unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn scan(client: &Client, partition: u32, prefix: &str, from: &str, limit: usize) -> Vec<String> {
    let entries = client
        .consumer
        .state()
        .scan(partition, prefix.as_bytes(), from.as_bytes(), limit)
        .unwrap();
    entries
        .iter()
        .map(|(key, value)| {
            let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
            format!("{}={}", text(key), text(value))
        })
        .collect()
}

fn member(backend: &mut dyn Backend, partitions: u32) -> (Vec<std::sync::Arc<str>>, &'static str, Client) {
    let topics = backend.topics(&["in"], partitions);
    let group = "g";
    let mut client = Client::join(&backend.log(), group, "a", &topics);
    client.hold(partitions as usize);
    (topics, group, client)
}

pub fn state_is_read_as_committed(backend: &mut dyn Backend) {
    let (_, _, mut client) = member(backend, 2);
    assert_eq!(get(&client, 0, "mood"), None);
    put(&mut client, 0, "mood", Some("calm"));
    put(&mut client, 1, "mood", Some("angry"));
    assert_eq!(get(&client, 0, "mood").as_deref(), Some("calm"));
    assert_eq!(get(&client, 1, "mood").as_deref(), Some("angry"));
    put(&mut client, 0, "mood", Some("glad"));
    put(&mut client, 1, "mood", None);
    assert_eq!(get(&client, 0, "mood").as_deref(), Some("glad"));
    assert_eq!(get(&client, 1, "mood"), None);
}

pub fn a_scan_returns_entries_in_key_order(backend: &mut dyn Backend) {
    let (_, _, mut client) = member(backend, 2);
    for key in ["b/2", "a/9", "b/10", "b/1", "c/1", "b"] {
        put(&mut client, 0, key, Some(key));
        put(&mut client, 1, key, Some("other partition"));
    }
    put(&mut client, 0, "b/10", None);
    assert_eq!(scan(&client, 0, "b/", "", 9), ["b/1=b/1", "b/2=b/2"]);
    assert_eq!(scan(&client, 0, "", "", 3), ["a/9=a/9", "b=b", "b/1=b/1"]);
    assert_eq!(scan(&client, 0, "b", "b/1", 9), ["b/1=b/1", "b/2=b/2"]);
    assert_eq!(scan(&client, 0, "", "b/2", 9), ["b/2=b/2", "c/1=c/1"]);
    assert!(scan(&client, 0, "b/", "c", 9).is_empty());
    assert!(scan(&client, 0, "", "", 0).is_empty());
}

pub fn an_aborted_change_of_state_has_no_effect(backend: &mut dyn Backend) {
    let (_, _, mut client) = member(backend, 1);
    put(&mut client, 0, "kept", Some("yes"));
    let mut transaction = client.consumer.begin().unwrap();
    transaction.put_state(0, "kept".into(), None).unwrap();
    transaction.put_state(0, "new".into(), Some("no".into())).unwrap();
    transaction.abort().unwrap();
    assert_eq!(scan(&client, 0, "", "", 9), ["kept=yes"]);
}

pub fn state_moves_with_its_partition(backend: &mut dyn Backend) {
    let (topics, group, mut a) = member(backend, 2);
    for i in 0..20 {
        put(&mut a, i % 2, &format!("key {i:02}"), Some(&format!("value {i}")));
    }
    a.consumer.close().unwrap();
    let mut b = Client::join(&backend.other(), group, "b", &topics);
    b.hold(2);
    for i in 0..20 {
        let key = format!("key {i:02}");
        assert_eq!(get(&b, i % 2, &key), Some(format!("value {i}")));
        assert_eq!(get(&b, 1 - i % 2, &key), None);
    }
    assert_eq!(scan(&b, 1, "key", "", 2), ["key 01=value 1", "key 03=value 3"]);
}

/// A stranger may cause state of any size: no size may stop a stage.
pub fn a_value_of_any_size_moves_with_its_partition(backend: &mut dyn Backend) {
    let (topics, group, mut a) = member(backend, 1);
    let value = |letter: &str, size| letter.repeat(size);
    // More than a broker accepts in one record, less again, and a removal.
    put(&mut a, 0, "grows", Some(&value("a", 100)));
    put(&mut a, 0, "grows", Some(&value("b", 5_000_000)));
    put(&mut a, 0, "shrinks", Some(&value("c", 3_000_000)));
    put(&mut a, 0, "shrinks", Some(&value("d", 1_200_000)));
    put(&mut a, 0, "is small again", Some(&value("e", 2_000_000)));
    put(&mut a, 0, "is small again", Some("e"));
    put(&mut a, 0, "is removed", Some(&value("f", 2_000_000)));
    put(&mut a, 0, "is removed", None);
    let check = |client: &Client| {
        assert!(get(client, 0, "grows").as_deref() == Some(&value("b", 5_000_000)));
        assert!(get(client, 0, "shrinks").as_deref() == Some(&value("d", 1_200_000)));
        assert_eq!(get(client, 0, "is small again").as_deref(), Some("e"));
        assert_eq!(get(client, 0, "is removed"), None);
        assert_eq!(client.consumer.state().scan(0, b"", b"", 9).unwrap().len(), 3);
    };
    check(&a);
    a.consumer.close().unwrap();
    let mut b = Client::join(&backend.other(), group, "b", &topics);
    b.hold(1);
    check(&b);
}

pub fn the_state_of_a_group_can_be_read_without_joining_it(backend: &mut dyn Backend) {
    let (_, group, mut a) = member(backend, 2);
    let log = backend.other();
    let nothing = log.state_of("never joined", 2).unwrap();
    assert_eq!(nothing.scan(0, b"", b"", 9).unwrap(), []);
    put(&mut a, 0, "first", Some("1"));
    put(&mut a, 1, "other", Some("2"));
    let seen = log.state_of(group, 2).unwrap();
    let at = |partition, key: &str| {
        let value = seen.get(partition, key.as_bytes()).unwrap();
        value.map(|value| String::from_utf8(value.to_vec()).unwrap())
    };
    assert_eq!(at(0, "first").as_deref(), Some("1"));
    assert_eq!(at(1, "other").as_deref(), Some("2"));
    assert_eq!(at(1, "first"), None);
    put(&mut a, 0, "first", None);
    put(&mut a, 0, "large", Some(&"x".repeat(2_000_000)));
    put(&mut a, 1, "other", Some("3"));
    if !seen.is_live() {
        assert_eq!(at(1, "other").as_deref(), Some("2"), "as old as the last refresh");
        assert!(seen.bytes() > 0);
    }
    seen.refresh().unwrap();
    assert_eq!(at(0, "first"), None);
    assert_eq!(at(0, "large").map(|value| value.len()), Some(2_000_000));
    assert_eq!(at(1, "other").as_deref(), Some("3"));
    let keys: Vec<_> = seen.scan(0, b"", b"", 9).unwrap();
    assert_eq!(keys.len(), 1);
    // The member goes on without a disturbance.
    put(&mut a, 1, "other", Some("4"));
}

pub fn state_exists_after_reopening(backend: &mut dyn Backend) {
    let (topics, group, mut client) = member(backend, 1);
    put(&mut client, 0, "kept", Some("yes"));
    client.consumer.close().unwrap();
    backend.reopen();
    let mut client = Client::join(&backend.log(), group, "a", &topics);
    client.hold(1);
    assert_eq!(get(&client, 0, "kept").as_deref(), Some("yes"));
}
