//! The contract's test vectors.

use millrace::Fields;
use millrace::batch::{BatchReader, BatchWriter};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

fn vectors(name: &str) -> Value {
    let path = format!("{}/../vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

#[test]
fn valid_batches_are_read_and_written_byte_by_byte() {
    for vector in list(&vectors("batches")["valid"]) {
        let (name, wire) = (&vector["name"], bytes(&vector["hex"]));
        let (timestamped, keyed) = (vector["timestamped"] == true, vector["keyed"] == true);
        let batch = BatchReader::new(&wire).unwrap();
        assert_eq!((batch.is_timestamped(), batch.is_keyed()), (timestamped, keyed), "{name}");
        let mut writer = BatchWriter::new(timestamped, keyed);
        assert_eq!(batch.len(), list(&vector["rows"]).len(), "{name}");
        for (row, expected) in batch.rows().zip(list(&vector["rows"])) {
            if timestamped {
                assert_eq!(row.timestamp, expected["timestamp"].as_str().unwrap().parse::<i64>().unwrap(), "{name}");
            }
            if keyed {
                assert_eq!(row.key, bytes(&expected["key"]), "{name}");
            }
            assert_eq!(row.payload, bytes(&expected["payload"]), "{name}");
            writer.row(row.timestamp, row.key, row.payload);
        }
        assert_eq!(writer.size_bytes(), wire.len(), "{name}");
        assert_eq!(writer.finish(), wire, "{name}");
    }
}

#[test]
fn what_is_no_batch_is_refused() {
    for vector in list(&vectors("batches")["invalid"]) {
        let error = BatchReader::new(&bytes(&vector["hex"])).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.starts_with("malformed batch: ")), "{}", vector["reason"]);
    }
}

#[test]
fn records_of_fields() {
    let vectors = vectors("fields");
    for vector in list(&vectors["valid"]) {
        let record = Fields::read(&bytes(&vector["hex"])).unwrap();
        let expected: Vec<Vec<u8>> = list(&vector["fields"]).iter().map(bytes).collect();
        assert_eq!(record.iter().map(|field| field.as_bytes().to_vec()).collect::<Vec<_>>(), expected);
        let mut written = Vec::new();
        Fields::new(record.iter()).write(&mut written);
        assert_eq!(written, bytes(&vector["hex"]));
    }
    for vector in list(&vectors["invalid"]) {
        assert!(Fields::read(&bytes(&vector["hex"])).is_err(), "{}", vector["reason"]);
    }
}

#[test]
fn keys_hash_as_the_host_hashes_them() {
    for vector in list(&vectors("key_groups")["keys"]) {
        let hash = xxh3_64(&bytes(&vector["key"]));
        assert_eq!(format!("{hash:016x}"), vector["xxh3_64"].as_str().unwrap());
        for (max, group) in vector["key_groups"].as_object().unwrap() {
            assert_eq!(hash % max.parse::<u64>().unwrap(), group.as_u64().unwrap());
        }
    }
}

#[test]
fn payloads_of_the_state_functions() {
    let vectors = vectors("state");
    let get = &vectors["get"];
    let mut request = BatchWriter::new(false, true);
    list(&get["keys"]).iter().for_each(|key| request.row(0, &bytes(key), &[]));
    assert_eq!(request.finish(), bytes(&get["request"]));
    let mut answer = BatchWriter::new(false, false);
    for value in list(&get["values"]) {
        match value {
            Value::Null => answer.row(0, &[], &[0]),
            value => answer.row(0, &[], &[vec![1], bytes(value)].concat()),
        }
    }
    assert_eq!(answer.finish(), bytes(&get["answer"]));

    let mut put = BatchWriter::new(false, true);
    for change in list(&vectors["put"]["changes"]) {
        let payload = match change["change"].as_str().unwrap() {
            "delete" => vec![0],
            "set" => [vec![1], bytes(&change["value"])].concat(),
            "append" => [vec![2], bytes(&change["value"])].concat(),
            _ => vec![3],
        };
        put.row(0, &bytes(&change["key"]), &payload);
    }
    assert_eq!(put.finish(), bytes(&vectors["put"]["request"]));

    let mut timers = BatchWriter::new(true, true);
    for change in list(&vectors["set-timers"]["changes"]) {
        let marker = u8::from(change["change"] == "set");
        let timestamp = change["timestamp"].as_str().unwrap().parse().unwrap();
        timers.row(timestamp, &bytes(&change["key"]), &[vec![marker], bytes(&change["namespace"])].concat());
    }
    assert_eq!(timers.finish(), bytes(&vectors["set-timers"]["request"]));
}
