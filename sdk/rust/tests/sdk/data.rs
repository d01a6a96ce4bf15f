//! The codec: round trips, one encoding for each value, and malformed bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;

use millrace::Data;
use millrace::data::{DecodeError, fingerprint};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Data)]
struct Named<T> {
    id: u64,
    label: Option<String>,
    inner: T,
}

#[derive(Clone, Debug, PartialEq, Data)]
enum Shape {
    Empty,
    Circle(f64),
    Polygon { points: Vec<(i32, i32)>, closed: bool },
}

#[derive(Clone, Debug, PartialEq, Data)]
struct Tree {
    value: u8,
    children: Vec<Tree>,
}

#[derive(Clone, Debug, PartialEq, Data)]
struct Nothing;

fn survives<T: Data + PartialEq + Debug>(value: &T) {
    let bytes = value.to_bytes();
    assert!(bytes.len() >= T::MIN_BYTES);
    assert_eq!(&T::from_bytes(&bytes).unwrap(), value);
    // No prefix and no extension of an encoding is one.
    for end in 0..bytes.len() {
        assert!(T::from_bytes(&bytes[..end]).is_err());
    }
    assert!(T::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Empty),
        any::<f64>().prop_filter("equal to itself", |x| !x.is_nan()).prop_map(Shape::Circle),
        (prop::collection::vec(any::<(i32, i32)>(), 0..5), any::<bool>())
            .prop_map(|(points, closed)| Shape::Polygon { points, closed }),
    ]
}

proptest! {
    // A case tries every prefix of every encoding.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn values_survive(
        id: u64, label: Option<String>, inner in shape(), bytes: Vec<u8>, texts: Vec<String>,
        tuple: (i8, u16, i32, u32, char), wide: (u128, i128),
        map: BTreeMap<String, i64>, set: BTreeSet<u16>,
    ) {
        survives(&Named { id, label, inner });
        survives(&bytes);
        survives(&texts);
        survives(&tuple);
        survives(&wide);
        survives(&map);
        survives(&set);
        survives(&map.into_iter().collect::<HashMap<_, _>>());
        survives(&set.into_iter().collect::<HashSet<_>>());
    }

}

proptest! {
    #[test]
    fn any_bytes_are_a_value_or_an_error_and_a_value_has_one_encoding(bytes: Vec<u8>) {
        fn check<T: Data>(bytes: &[u8]) {
            if let Ok(value) = T::from_bytes(bytes) {
                assert_eq!(value.to_bytes(), bytes);
            }
        }
        check::<Named<Shape>>(&bytes);
        check::<Vec<String>>(&bytes);
        check::<BTreeMap<String, Vec<u8>>>(&bytes);
        check::<HashMap<u8, Option<bool>>>(&bytes);
        check::<HashSet<(u8, u8)>>(&bytes);
        check::<Tree>(&bytes);
        check::<(char, f32)>(&bytes);
        check::<millrace::Fields>(&bytes);
    }
}

#[test]
fn a_length_that_cannot_be_true_reserves_nothing() {
    let four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(Vec::<u64>::from_bytes(&four_gib), Err(DecodeError::Truncated { left: 0, .. })));
    assert!(matches!(String::from_bytes(&four_gib), Err(DecodeError::Truncated { .. })));
    assert!(matches!(HashMap::<u64, u64>::from_bytes(&four_gib), Err(DecodeError::Truncated { .. })));
    assert_eq!(Vec::<u8>::from_bytes(&[0x80, 0x00]), Err(DecodeError::BadLength));
    assert_eq!(Vec::<u8>::from_bytes(&[0xff, 0xff, 0xff, 0xff, 0xff]), Err(DecodeError::BadLength));
}

#[test]
fn nesting_has_an_end() {
    // Each level is a value and the number of its children, 1.
    let deep = [7, 1].repeat(100_000);
    assert_eq!(Tree::from_bytes(&deep), Err(DecodeError::TooDeep));
    let mut tree = Tree { value: 0, children: vec![] };
    for value in 1..100 {
        tree = Tree { value, children: vec![tree] };
    }
    survives(&tree);
}

#[test]
fn wrong_values_are_named() {
    assert_eq!(bool::from_bytes(&[2]).unwrap_err().to_string(), "2 is no bool");
    assert_eq!(Shape::from_bytes(&[3]).unwrap_err().to_string(), "3 is no Shape");
    assert_eq!(String::from_bytes(&[1, 0xff]), Err(DecodeError::BadUtf8));
    assert_eq!(BTreeSet::<u8>::from_bytes(&[2, 5, 5]), Err(DecodeError::BadOrder));
}

#[test]
fn fingerprints_tell_types_apart() {
    assert_eq!(fingerprint::<(String, Vec<Option<u64>>)>(), "tuple<string,list(option<u64>)>");
    assert_eq!(fingerprint::<HashMap<String, f64>>(), fingerprint::<BTreeMap<String, f64>>());
    assert_eq!(fingerprint::<Named<u8>>(), "Named{id:u64,label:option<string>,inner:u8}");
    assert_eq!(fingerprint::<Shape>(), "Shape[Empty{}|Circle{f64}|Polygon{points:list(tuple<i32,i32>),closed:bool}]");
    assert_eq!(fingerprint::<Tree>(), "Tree{value:u8,children:list(Tree^)}");
    assert_eq!(fingerprint::<Nothing>(), "Nothing{}");
}

mod first {
    use millrace::prelude::*;

    #[derive(Clone, Debug, PartialEq, Data)]
    pub struct Trip {
        pub route: String,
    }
}

mod second {
    use millrace::prelude::*;

    #[derive(Clone, Debug, PartialEq, Data)]
    pub struct Trip {
        pub route: String,
        #[data(default)]
        pub minutes: Option<u32>,
        #[data(default)]
        pub stops: Vec<String>,
    }
}

#[test]
fn fields_that_were_added_are_their_defaults_in_older_values() {
    let old = first::Trip { route: "7".to_owned() };
    let read = second::Trip::from_bytes(&old.to_bytes()).unwrap();
    assert_eq!(read, second::Trip { route: "7".to_owned(), minutes: None, stops: Vec::new() });
    let new = second::Trip { route: "7".to_owned(), minutes: Some(3), stops: vec!["A".to_owned()] };
    assert_eq!(second::Trip::from_bytes(&new.to_bytes()).unwrap(), new);
    let within = (5u8, old.clone());
    let read = <(u8, second::Trip)>::from_bytes(&within.to_bytes()).unwrap();
    assert_eq!((read.0, read.1.route.as_str()), (5, "7"));
    assert_eq!(fingerprint::<first::Trip>(), "Trip{route:string}");
    assert_eq!(fingerprint::<second::Trip>(), "Trip{route:string,+minutes:option<u32>,+stops:list(string)}");
}
