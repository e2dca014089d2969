//! Windows and list prices of a few well-known models, as data.
//!
//! Prices change and nobody here has looked them up: each row says when it was true and that it is
//! unverified. A model that is not here has an unknown price, not none.

use crate::catalog::Price;

/// What is known of a model by its name at the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Who made it.
    pub vendor: &'static str,
    /// Lineage of its weights.
    pub family: &'static str,
    /// Tokens that it can read and write together.
    pub window_tokens: u32,
    /// Most tokens that it can write.
    pub output_tokens_max: u32,
    /// List prices of input, output and cached input, in millionths of a dollar for a million
    /// tokens.
    pub usd_micros: (u64, u64, u64),
}

/// Day on which the rows were true.
const AS_OF: &str = "2025-06-30";
/// Where they are from.
const SOURCE: &str = "provider price page, unverified here";

const fn openai(
    name: &'static str,
    family: &'static str,
    tokens: (u32, u32),
    usd_micros: (u64, u64, u64),
) -> Known {
    let (window_tokens, output_tokens_max) = tokens;
    Known { name, vendor: "openai", family, window_tokens, output_tokens_max, usd_micros }
}

const fn anthropic(name: &'static str, output: u32, usd_micros: (u64, u64, u64)) -> Known {
    Known {
        name,
        vendor: "anthropic",
        family: "claude",
        window_tokens: 200_000,
        output_tokens_max: output,
        usd_micros,
    }
}

/// The rows.
pub const KNOWN: &[Known] = &[
    openai("gpt-4o", "gpt-4o", (128_000, 16_384), (2_500_000, 10_000_000, 1_250_000)),
    openai("gpt-4o-mini", "gpt-4o", (128_000, 16_384), (150_000, 600_000, 75_000)),
    openai("gpt-4.1", "gpt-4.1", (1_047_576, 32_768), (2_000_000, 8_000_000, 500_000)),
    openai("gpt-4.1-mini", "gpt-4.1", (1_047_576, 32_768), (400_000, 1_600_000, 100_000)),
    openai("gpt-4.1-nano", "gpt-4.1", (1_047_576, 32_768), (100_000, 400_000, 25_000)),
    anthropic("claude-opus-4-20250514", 32_000, (15_000_000, 75_000_000, 1_500_000)),
    anthropic("claude-sonnet-4-20250514", 64_000, (3_000_000, 15_000_000, 300_000)),
    anthropic("claude-3-5-haiku-20241022", 8_192, (800_000, 4_000_000, 80_000)),
];

impl Known {
    /// The row of that name.
    pub fn find(name: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// Its price, with date and source.
    pub fn price(&self) -> Price {
        let (input, output, cached) = self.usd_micros;
        Price {
            input,
            output,
            cached_input: Some(cached),
            as_of: AS_OF.to_owned(),
            source: SOURCE.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_plausible_and_say_that_nobody_looked() {
        for known in KNOWN {
            let price = known.price();
            assert!(price.output > price.input && price.cached_input < Some(price.input));
            assert!(known.output_tokens_max < known.window_tokens, "{}", known.name);
            assert!(price.source.contains("unverified") && !price.as_of.is_empty());
            assert_eq!(Known::find(known.name), Some(known));
        }
        assert_eq!(Known::find("nobody"), None);
    }
}
