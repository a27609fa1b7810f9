//! What a new worker is told before anything else: one environment variable.

/// The variable. A process that finds it at its start is a worker.
pub const VARIABLE: &str = "REIVER_OFFLOAD_WORKER";

/// Begins all orders: another version writes another.
const VERSION: &str = "4";

/// The orders of a template, which is told nothing but its parent: those of workers come when they are made.
pub fn template(parent: u32) -> String {
    format!("{VERSION} template {parent}")
}

/// The parent, if a template's orders are meant.
pub fn parse_template(text: &str) -> Option<u32> {
    text.strip_prefix(VERSION)?.strip_prefix(" template ")?.parse().ok()
}

/// A worker's orders. 0 is "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orders {
    /// The parent's process: the worker ends if that is another one by now.
    pub parent: u32,
    /// The hash of the parent's functions.
    pub fingerprint: u64,
    /// The longest message, in bytes.
    pub limit: u64,
    /// `RLIMIT_DATA`.
    pub data: u64,
    /// `RLIMIT_AS`.
    pub address_space: u64,
    /// `RLIMIT_CPU`, in seconds.
    pub cpu: u64,
    /// Added to its nice value.
    pub nice: i32,
    /// How long it looks for the next job before it sleeps, at most, in nanoseconds. Here 0 is "not at all".
    pub spin: u64,
    /// Whether its memory is reported with each answer.
    pub report_memory: bool,
    /// Whether jobs may be asked to stop.
    pub listen: bool,
}

impl Orders {
    /// As the variable's text.
    pub fn to_text(self) -> String {
        let Self { parent, fingerprint, limit, data, address_space, cpu, nice, spin, .. } = self;
        let (report, listen) = (u8::from(self.report_memory), u8::from(self.listen));
        format!(
            "{VERSION} {parent} {fingerprint} {limit} {data} {address_space} {cpu} {nice} {spin} {report} {listen}"
        )
    }

    /// From the variable's text; `None` if another version wrote it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(VERSION) {
            return None;
        }
        let mut number = || words.next()?.parse::<u64>().ok();
        let parent = u32::try_from(number()?).ok()?;
        let (fingerprint, limit) = (number()?, number()?);
        let (data, address_space, cpu) = (number()?, number()?, number()?);
        let nice = words.next()?.parse().ok()?;
        let spin = words.next()?.parse().ok()?;
        let (report_memory, listen) = (words.next()? == "1", words.next()? == "1");
        let limits = Self { limit, data, address_space, cpu, ..Self::default() };
        let all = Self { parent, fingerprint, nice, spin, report_memory, listen, ..limits };
        words.next().is_none().then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let orders =
            Orders { parent: 7, fingerprint: u64::MAX, nice: -5, spin: 9, ..Orders::default() };
        for orders in [orders, Orders { listen: true, ..orders }] {
            assert_eq!(Orders::parse(&orders.to_text()), Some(orders));
        }
        for text in
            ["", "4", "3 1 2 3 4 5 6 7 8 0 0", "4 1 2 3 4 5 6 7 8 0 0 9", "4 -1 2 3 4 5 6 7 8 0 0"]
        {
            assert_eq!(Orders::parse(text), None, "{text}");
            assert_eq!(parse_template(text), None, "{text}");
        }
        assert_eq!(parse_template(&template(7)), Some(7));
        assert_eq!(Orders::parse(&template(7)), None);
    }
}
