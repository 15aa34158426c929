//! What is to be measured. In: arguments. Out: parts and effort.

const PARTS: [&str; 5] = ["hops", "batches", "flow", "children", "memory"];

pub(crate) struct Plan {
    wanted: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) messages: u64,
}

impl Plan {
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self {
            wanted: Vec::new(),
            rounds: 15,
            messages: 300_000,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // Said by cargo.
                "--bench" => {}
                "--rounds" => plan.rounds = number(&arg, args.next(), 1)?,
                "--messages" => {
                    // Whole batches.
                    let messages = number(&arg, args.next(), 1_000)? as u64;
                    plan.messages = messages.next_multiple_of(1_000);
                }
                part if PARTS.contains(&part) => plan.wanted.push(arg),
                other => {
                    let parts = PARTS.join(", ");
                    return Err(format!(
                        "`{other}` is none of {parts}, --rounds N, --messages N"
                    ));
                }
            }
        }
        Ok(plan)
    }

    pub(crate) fn wants(&self, part: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| wanted == part)
    }
}

fn number(option: &str, value: Option<String>, least: usize) -> Result<usize, String> {
    value
        .and_then(|value| value.parse().ok())
        .filter(|number| *number >= least)
        .ok_or_else(|| format!("{option} wants a number from {least} on"))
}
