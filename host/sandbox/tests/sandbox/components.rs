//! Components that are refused, and compilers that explode.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use millrace_sandbox::{CompilerCommand, ComponentError, InspectLimits, SandboxOptions, inspect_component};
use millrace_types::{Digest, Failure, FailureKind, TenantId};

use crate::support::{assert_works, compiler, digest, fixture};
use crate::wat::Guest;

fn inspect(bytes: &[u8]) -> Result<(), ComponentError> {
    inspect_component(bytes, &InspectLimits::default()).map(|_| ())
}

#[tokio::test]
async fn a_component_is_told_by_what_it_imports_and_exports() {
    let info = inspect_component(&Guest::application().component(), &InspectLimits::default()).unwrap();
    assert!(info.exports_program && info.exports_operator);
    assert!(info.imports.iter().all(|name| name.starts_with("millrace:app/")), "{:?}", info.imports);
}

#[tokio::test]
async fn what_is_no_component_is_refused_with_what_to_do() {
    let fixture = fixture(|_| {});
    let module = Guest::application().module();
    let error = fixture.try_compile(&module).await.unwrap_err();
    assert!(error.to_string().contains("this is a core module; run `millrace build`"), "{error}");
    let failure = Failure::from(error);
    assert_eq!(failure.kind, FailureKind::InvalidApplication);
    assert!(failure.remedy.unwrap().contains("millrace build"));
    assert_works(&fixture).await;
}

#[test]
fn a_truncated_component_is_refused_wherever_it_ends() {
    let component = Guest::application().component();
    let mut whole = 0;
    for end in 0..component.len() {
        match inspect(&component[..end]) {
            Err(ComponentError::Truncated { length, offset }) => assert!(length == end && offset <= end),
            // It may also end where a section does: then what is left is whole and lacks its operators,
            Err(ComponentError::NoOperator | ComponentError::NotWasm) => {}
            // or is at odds with itself, such as functions without their code,
            Err(ComponentError::Invalid { offset, .. }) => assert!(offset <= end),
            // or lacks only what tools wrote into custom sections, whose id is 0.
            Ok(_) => {
                assert_eq!(component[end], 0, "cut at {end}");
                whole += 1;
            }
            Err(other) => panic!("cut at {end}: {other}"),
        }
    }
    assert!(whole <= 2, "{whole} of the cut components were accepted");
}

#[test]
fn foreign_imports_are_refused_by_name() {
    for (import, name) in [
        (r#"(import "acme:db/sql@1.0.0" (instance))"#, "acme:db/sql@1.0.0"),
        (r#"(import "wasi:nn/graph@0.2.0" (instance))"#, "wasi:nn/graph@0.2.0"),
        (r#"(import "run" (func))"#, "run"),
    ] {
        let component = wat::parse_str(format!("(component {import})")).unwrap();
        assert_eq!(inspect(&component), Err(ComponentError::ForeignImport { name: name.to_owned() }));
    }
    let component = wat::parse_str(r#"(component (import "millrace:app/host@0.4.0" (instance)))"#).unwrap();
    let error = inspect(&component).unwrap_err();
    assert!(matches!(&error, ComponentError::UnknownVersion { name } if name == "millrace:app/host@0.4.0"), "{error}");
}

#[test]
fn damaged_components_never_panic() {
    let component = Guest::application().component();
    for at in 8..component.len() {
        let mut damaged = component.clone();
        damaged[at] ^= 0x55;
        let _ = inspect(&damaged);
    }
}

#[tokio::test]
async fn an_import_of_wrong_type_is_refused() {
    let fixture = fixture(|_| {});
    let component = r#"(component
        (import "millrace:app/host@0.3.0" (instance (export "now-ms" (func (result string)))))
        (instance $i) (export "millrace:app/operator@0.3.0" (instance $i)))"#;
    let error = fixture.try_compile(&wat::parse_str(component).unwrap()).await.unwrap_err();
    assert!(matches!(&error, ComponentError::Link { message } if message.contains("now-ms")), "{error}");
}

#[tokio::test]
async fn bytes_of_another_digest_are_refused() {
    let fixture = fixture(|_| {});
    let bytes = Bytes::from(Guest::application().component());
    let digest = Digest::from_bytes([1; 32]);
    let error = fixture.sandbox.compile(&TenantId::default_tenant(), &digest, bytes).await.unwrap_err();
    assert!(matches!(error, ComponentError::DigestMismatch { .. }), "{error}");
}

/// A guest that takes the compiler long: many long functions.
fn slow_to_compile() -> Vec<u8> {
    let mut functions = String::new();
    for function in 0..400 {
        let _ =
            write!(functions, "(func $big{function} (export \"big{function}\") (param i32) (result i32) (local.get 0)");
        for step in 0..2_000 {
            let _ = write!(functions, "(i32.load (i32.const {step})) i32.add (local.get 0) i32.rotl");
        }
        functions.push(')');
    }
    Guest::application().with(&functions).component()
}

#[tokio::test]
async fn an_exploding_compilation_hits_its_limits_alone() {
    let component = slow_to_compile();
    let cpu = fixture(|options| options.compile.cpu_seconds_max = 1);
    let error = cpu.try_compile(&component).await.unwrap_err();
    assert!(matches!(&error, ComponentError::CompileLimit { limit } if limit.contains("processor time")), "{error}");
    assert_works(&cpu).await;

    let memory = fixture(|options| options.compile.address_space_bytes_max = 192 << 20);
    let error = memory.try_compile(&component).await.unwrap_err();
    assert!(matches!(&error, ComponentError::CompileLimit { limit } if limit.contains("address space")), "{error}");

    let wall = fixture(|options| options.compile.wall_time_max = Duration::from_millis(20));
    let error = wall.try_compile(&component).await.unwrap_err();
    assert!(matches!(&error, ComponentError::CompileLimit { limit } if limit.contains("timeout")), "{error}");

    let output = fixture(|options| options.compile.artifact_bytes_max = 10_000);
    let error = output.try_compile(&Guest::application().component()).await.unwrap_err();
    assert!(matches!(&error, ComponentError::CompileLimit { limit } if limit.contains("compiled code")), "{error}");
    assert_eq!(Failure::from(error).kind, FailureKind::Compile);
}

#[tokio::test]
async fn a_compiler_that_is_not_there_is_not_the_components_fault() {
    let fixture = fixture(|options| {
        options.compiler = CompilerCommand { program: "/nowhere/millrace".into(), args: Vec::new() };
    });
    let error = fixture.try_compile(&Guest::application().component()).await.unwrap_err();
    assert!(matches!(&error, ComponentError::Compiler { message } if message.contains("/nowhere")), "{error}");
    assert_eq!(Failure::from(error).kind, FailureKind::Internal);
}

/// Options of a compiler that stands still for a component that nobody waits for.
fn stand_still_ahead(options: &mut SandboxOptions) {
    let CompilerCommand { program, args } = compiler();
    let script = r#"set -- $MILLRACE_COMPILE_REQUEST; [ "$5" = 0 ] || while :; do :; done; exec "$0" "#.to_owned();
    let script = script + &args.join(" ");
    let program = program.to_string_lossy().into_owned();
    options.compiler = CompilerCommand { program: "/bin/sh".into(), args: vec!["-c".to_owned(), script, program] };
}

#[tokio::test]
async fn who_waits_for_a_component_does_not_wait_for_a_compiler_that_gives_way() {
    let fixture = fixture(stand_still_ahead);
    let bytes = Bytes::from(Guest::application().component());
    let (tenant, digest) = (TenantId::default_tenant(), digest(&bytes));
    // The first one begins, and the second finds it under way.
    let ahead = fixture.sandbox.compile_ahead(&tenant, &digest, bytes.clone());
    let (ahead, awaited) = tokio::join!(ahead, fixture.sandbox.compile(&tenant, &digest, bytes.clone()));
    assert_eq!((ahead.unwrap().digest(), awaited.unwrap().digest()), (digest, digest));
    assert_eq!((fixture.sandbox.compilations(), fixture.sandbox.components_ready()), (1, 1));
    assert!(fixture.sandbox.compiled(&tenant, &digest).is_some() && fixture.sandbox.has_room());
}

#[tokio::test]
async fn what_was_given_up_puts_nothing_out() {
    let fixture = fixture(|options| {
        stand_still_ahead(options);
        options.cache.components_max = 2;
    });
    let guest = |number| Guest::application().with(&format!("(func (export \"f{number}\"))")).component();
    let (tenant, kept) = (TenantId::default_tenant(), guest(0));
    fixture.try_compile(&kept).await.unwrap();
    for number in 1..4 {
        let bytes = Bytes::from(guest(number));
        let digest = digest(&bytes);
        tokio::select! {
            biased;
            outcome = fixture.sandbox.compile_ahead(&tenant, &digest, bytes) => panic!("{:?}", outcome.map(|_| ())),
            () = tokio::task::yield_now() => {}
        }
    }
    fixture.try_compile(&guest(4)).await.unwrap();
    assert!(fixture.sandbox.compiled(&tenant, &digest(&kept)).is_some());
}
