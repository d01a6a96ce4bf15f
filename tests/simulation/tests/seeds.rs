//! Runs seeds: as many as CI is to run, or those of MILLRACE_SEED and MILLRACE_SEEDS.
use millrace_simulation::run;

#[test]
fn seeds() {
    let n: u64 = std::env::var("MILLRACE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    if let Some(seed) = std::env::var("MILLRACE_SEED").ok().and_then(|n| n.parse().ok()) {
        match run(seed, true) {
            Ok(n) => println!("{n} events"),
            Err(f) => {
                for l in &f.trace {
                    println!("{l}");
                }
                panic!("{}: {}", f.seed, f.what)
            }
        }
        return;
    }
    std::panic::set_hook(Box::new(|_| {}));
    let t = std::time::Instant::now();
    let mut kinds = std::collections::BTreeMap::<String, Vec<u64>>::new();
    let mut events = 0;
    for seed in 0..n {
        match run(seed, false) {
            Ok(n) => events += n,
            Err(f) => {
                kinds.entry(f.what.chars().filter(|c| !c.is_ascii_digit()).take(90).collect()).or_default().push(seed)
            }
        }
    }
    println!("{n} seeds, {events} events, {:?}", t.elapsed());
    for (k, v) in kinds {
        println!("{:5} {:?} {k}", v.len(), &v[..v.len().min(6)]);
    }
}
