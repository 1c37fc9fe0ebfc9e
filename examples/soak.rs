use holdfast::core::timing::Profile;
use holdfast::sim::{generate::*, world::*};
use std::time::Duration;
fn main() {
    let a: Vec<u64> = std::env::args().skip(1).filter_map(|x| x.parse().ok()).collect();
    let (from, to) = (a[0], a[1]);
    let sab = std::env::args().nth(3);
    let fast = std::env::args().any(|x| x == "fast");
    let next = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(from));
    let counts = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeMap::<String, u64>::new()));
    let t = std::time::Instant::now();
    let hs: Vec<_> = (0..2)
        .map(|_| {
            let next = next.clone();
            let counts = counts.clone();
            let sab = sab.clone();
            std::thread::spawn(move || {
                #[cfg(feature = "sabotage")]
                if let Some(s) = &sab {
                    holdfast::core::sabotage::set(holdfast::core::sabotage::Sabotage::named(s));
                }
                let _ = &sab;
                let mut fails = 0;
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if seed > to {
                        break;
                    }
                    let shape = Shape {
                        hosts: 5,
                        vms: 20,
                        profile: if fast { Profile::Fast } else { Profile::Lan },
                        lasts: Duration::from_secs(600),
                    };
                    let g = world(seed, &shape);
                    let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        let mut s: Simulation = Simulation::new(g.spec);
                        for (at, f) in g.faults {
                            s.schedule(at, f);
                        }
                        s.run_until(g.heals_at);
                        let b = s.recovery_bound();
                        let _ = s.recover(b);
                        s.run_until(shape.lasts);
                        let v: Vec<_> = s.violations().to_vec();
                        (v, s.counts(), s.now())
                    }));
                    match r {
                        Err(_) => {
                            println!("seed {seed} PANIC");
                            fails += 1;
                        }
                        Ok((v, c, _now)) => {
                            let v: Vec<_> = v.into_iter().filter(|v| !v.excused).collect();
                            if !v.is_empty() {
                                fails += 1;
                                println!(
                                    "seed {seed}: {} {} (+{})",
                                    v[0].invariant,
                                    v[0].detail.chars().take(200).collect::<String>(),
                                    v.len() - 1
                                );
                            }
                            let mut m = counts.lock().unwrap();
                            for (k, n) in c {
                                *m.entry(k).or_default() += n;
                            }
                        }
                    }
                    if sab.is_some() && sab.as_deref() != Some("fast") && fails > 0 {
                        println!("caught at {seed}");
                        std::process::exit(0);
                    }
                }
                fails
            })
        })
        .collect();
    let f: i32 = hs.into_iter().map(|h| h.join().unwrap()).sum();
    println!("failed {f} of {} in {:?}", to - from + 1, t.elapsed());
    for (k, v) in counts.lock().unwrap().iter() {
        if *v == 0 || std::env::args().any(|x| x == "counts") {
            println!("{k} {v}");
        }
    }
}
