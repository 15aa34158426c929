//! Each target on its seeds and on twenty thousand inputs made from them: the same ones at every run,
//! so that a failure is one for everybody.

use std::path::Path;

/// Inputs made for each target.
const INPUTS: u32 = 20_000;
/// Pieces that random bytes hit upon too rarely.
const PIECES: [&[u8]; 32] = [
    b"\"username\":",
    b"\"user_id\":",
    b"\"price\":",
    b"\"timestamp\":",
    b"null",
    b"1e999",
    b"-0.0",
    b"0.001",
    b"\\u0000",
    b"\\ud800",
    b"\xE2\x80\xAE",
    b"\xFF",
    b"{\"a\":",
    b"[[[[",
    b"\"",
    b"00-",
    b" HTTP/1.1\n",
    b"GET ",
    b"CONNECT ",
    b"a:80",
    b"http://",
    b"/stats/stream",
    b"?",
    b"\nhost: ",
    b"accept: ",
    b"content-type: application/json",
    b"x-forwarded-for: ",
    b"if-none-match: ",
    b"idempotency-key: ",
    b";q=",
    b", ",
    b"\n",
];

/// Numbers that only look random (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % end.max(1)
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let entries =
        std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no seeds");
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a seed can be read"))
        .collect()
}

fn change(input: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    let at = numbers.below(input.len() + 1);
    let to = (at + numbers.below(8)).min(input.len());
    let byte = u8::try_from(numbers.below(256)).unwrap_or(0);
    match numbers.below(6) {
        0 => input.insert(at, byte),
        1 => drop(input.drain(at..to)),
        2 => drop(input.splice(at..to, PIECES[numbers.below(PIECES.len())].iter().copied())),
        3 => input.extend_from_slice(&other[numbers.below(other.len())..]),
        4 => input.extend_from_within(at..to),
        _ => {
            if let Some(place) = input.get_mut(at) {
                *place ^= 1 << numbers.below(8);
            }
        }
    }
}

#[test]
fn nothing_that_anybody_may_send_breaks_a_rule() {
    for (name, target) in fuzz::TARGETS {
        let seeds = seeds(name);
        seeds.iter().for_each(|seed| target(seed));
        let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
        for _ in 0..INPUTS {
            let mut input = seeds[numbers.below(seeds.len())].clone();
            let other = seeds[numbers.below(seeds.len())].clone();
            for _ in 0..=numbers.below(5) {
                change(&mut input, &other, &mut numbers);
            }
            let shown = input.clone();
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(
                outcome.is_ok(),
                "{name}: {:?}",
                String::from_utf8_lossy(&shown)
            );
        }
    }
}
