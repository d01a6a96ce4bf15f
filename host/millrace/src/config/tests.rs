//! Tests of the configuration.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

#[test]
fn every_default_is_a_value_of_its_kind() {
    let mut configuration = Configuration { values: BTreeMap::new() };
    for spec in OPTIONS {
        configuration.set(spec.key, spec.default.to_owned(), "default").unwrap();
    }
}

#[test]
fn every_option_of_the_restart_strategies_is_listed_and_read() {
    for option in RESTART_OPTIONS {
        assert!(OPTIONS.iter().any(|spec| spec.key == option.key), "{}", option.key);
    }
    let load = |define: &[&str]| {
        let define: Vec<String> = define.iter().map(|text| (*text).to_owned()).collect();
        Configuration::load(None, &define).and_then(|configuration| configuration.restart())
    };
    let strategy = load(&["restart-strategy.type=fixed-delay"]).unwrap().strategy(false).unwrap().to_string();
    assert_eq!(strategy, "Restart with fixed delay (PT1S). #1 restart attempts.");
    let error = load(&["restart-strategy.fixed-delay.attempts=x"]).unwrap_err();
    assert!(format!("{error:#}").contains("whole number"), "{error:#}");
    let backoff = "restart-strategy.exponential-delay.initial-backoff=2 min";
    assert!(load(&["restart-strategy.type=exponential-delay", backoff]).is_err());
}

#[test]
fn every_option_of_the_scheduler_is_listed_and_read() {
    for option in SCHEDULER_OPTIONS {
        assert!(OPTIONS.iter().any(|spec| spec.key == option.key), "{}", option.key);
    }
    let load = |define: &str| {
        Configuration::load(None, &[define.to_owned()]).and_then(|configuration| configuration.scheduler())
    };
    assert!(load("jobmanager.scheduler=adaptive").unwrap().adaptive().is_some());
    assert!(load("jobmanager.scheduler=eager").is_err());
}

#[test]
fn every_option_of_checkpoints_is_listed_and_read() {
    for option in CHECKPOINT_OPTIONS {
        assert!(OPTIONS.iter().any(|spec| spec.key == option.key), "{}", option.key);
    }
    let load = |define: &[&str]| {
        let define: Vec<String> = define.iter().map(|text| (*text).to_owned()).collect();
        Configuration::load(None, &define).and_then(|configuration| configuration.checkpoints())
    };
    assert_eq!(load(&["execution.checkpointing.interval=2 s"]).unwrap().interval_ms, Some(2_000));
    assert!(load(&["execution.checkpointing.interval=soon"]).is_err());
    assert!(load(&["state.backend.type=tape"]).is_err());
}

#[test]
fn the_command_line_wins_over_the_file_and_unknown_keys_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millrace.toml");
    std::fs::write(&path, "parallelism.default = 3\n[rest]\nport = 9999\n").unwrap();
    let configuration = Configuration::load(Some(&path), &["rest.port=7".to_owned()]).unwrap();
    assert_eq!(configuration.count(REST_PORT).unwrap(), 7);
    assert_eq!(configuration.count(PARALLELISM).unwrap(), 3);
    let error = Configuration::load(None, &["rest.prot=7".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("rest.prot") && error.contains("rest.port"), "{error}");
    let error = format!("{:#}", Configuration::load(None, &["rest.port=x".to_owned()]).unwrap_err());
    assert!(error.contains("rest.port") && error.contains("whole number"), "{error}");
}
